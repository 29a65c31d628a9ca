import type { Compilable, CompiledQuery, Kysely, QueryResult } from 'kysely'

/** Stands for a value until the query is run. */
class Slot {
  /** Of the value: its place, or its name. */
  readonly key: PropertyKey

  constructor(key: PropertyKey) {
    this.key = key
  }
}

type Build<Tables, Values, Row> = (db: Kysely<Tables>, values: Values) => CompiledQuery<Row>

/**
 * A query that is built and compiled at its first use of a database, and then only run with other values: to build one takes longer than a look-up by a key. @param build may put its values
 * where values stand, in lists too, and may not look at them: it is given others once.
 */
export function builtOnce<Tables, Values extends readonly unknown[], Row>(
  build: (db: Kysely<Tables>, ...values: Values) => Compilable<Row>,
): (db: Kysely<Tables>, ...values: Values) => Promise<QueryResult<Row>> {
  const run = keeping<Tables, Values, Row>((db, values) => build(db, ...values).compile())
  return (db, ...values) => run(db, values)
}

/** The same for a row, whose values have names. */
export function builtOnceForRows<Tables, Values extends object, Row = unknown>(
  build: Build<Tables, Values, Row>,
): (db: Kysely<Tables>, values: Values) => Promise<QueryResult<Row>> {
  return keeping(build)
}

function keeping<Tables, Values extends object, Row>(build: Build<Tables, Values, Row>) {
  const known = new WeakMap<object, CompiledQuery<Row>>() // by what a database has in common with its transactions
  return (db: Kysely<Tables>, values: Values): Promise<QueryResult<Row>> => {
    const { adapter } = db.getExecutor()
    let compiled = known.get(adapter)
    if (!compiled) {
      compiled = build(db, slotsFor(values))
      known.set(adapter, compiled)
    }
    const parameters = compiled.parameters.map((given) => (given instanceof Slot ? Reflect.get(values, given.key) : given))
    return db.executeQuery({ ...compiled, parameters })
  }
}

function slotsFor<Values extends object>(values: Values): Values {
  if (Array.isArray(values)) return values.map((_, index) => new Slot(index)) as unknown as Values
  return Object.fromEntries(Object.keys(values).map((name) => [name, new Slot(name)])) as Values
}
