import type { Compilable, CompiledQuery, Kysely, QueryResult } from 'kysely'

/** Stands for a value until the query is run. */
class Slot {
  readonly index: number

  constructor(index: number) {
    this.index = index
  }
}

/**
 * A query that is built and compiled at its first use of a database, and then only run with other values: to build one takes longer than a look-up by a key. @param build may put its values
 * where values stand, in lists too, and may not look at them: it is given others once.
 */
export function builtOnce<Tables, Values extends readonly unknown[], Row>(
  build: (db: Kysely<Tables>, ...values: Values) => Compilable<Row>,
): (db: Kysely<Tables>, ...values: Values) => Promise<QueryResult<Row>> {
  const known = new WeakMap<object, CompiledQuery<Row>>() // by what a database has in common with its transactions
  return (db, ...values) => {
    const { adapter } = db.getExecutor()
    let compiled = known.get(adapter)
    if (!compiled) {
      compiled = build(db, ...(values.map((_, index) => new Slot(index)) as unknown as Values)).compile()
      known.set(adapter, compiled)
    }
    const parameters = compiled.parameters.map((given) => (given instanceof Slot ? values[given.index] : given))
    return db.executeQuery({ ...compiled, parameters })
  }
}
