import type { CompiledQuery, Kysely, QueryResult } from 'kysely'

/** Stands in a statement for a value that each use has of its own. */
class Place {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/**
 * A statement that is built at its first use in a database, and not at each: that costs more than to run it. For what is made for every machine.
 * @param build is given what stands for the values. Its text must not depend on them: they are handed on as values, and nothing else is done with them.
 */
export function builtOnce<Tables, Values extends object, Row = unknown>(
  build: (db: Kysely<Tables>, values: Values) => CompiledQuery<Row>,
): (db: Kysely<Tables>, values: Values) => Promise<QueryResult<Row>> {
  const built = new WeakMap<object, CompiledQuery<Row>>()
  return (db, values) => {
    const { adapter } = db.getExecutor() // one for each database, and all its transactions
    let statement = built.get(adapter)
    if (!statement) {
      const places = Object.keys(values).map((name) => [name, new Place(name)])
      statement = build(db, Object.fromEntries(places) as Values)
      built.set(adapter, statement)
    }
    const parameters = statement.parameters.map((given) =>
      given instanceof Place ? (values as Record<string, unknown>)[given.name] : given,
    )
    return db.executeQuery<Row>({ ...statement, parameters })
  }
}
