/** How far a database has come: kept in it, and beside it. */
export interface DatabaseMark {
  /** Random, made with the database. */
  database: string
  /** Changes since it was made. */
  changes: number
  /** Of the last change, in seconds since the epoch; 0 before the first. */
  at: number
}

/**
 * `current`: nothing is missing, as far as can be told. `older`: changes that were made are not in it. `other`: it is not the database that was here before.
 * `unknown`: there is no mark beside it, so that it may be older.
 */
export type DatabaseAge = 'current' | 'older' | 'other' | 'unknown'

/** @param inside of the database that was opened. @param beside the mark that the last run left; null when there is none. */
export function judgeAge(inside: DatabaseMark, beside: DatabaseMark | null): DatabaseAge {
  if (beside === null) return inside.changes === 0 ? 'current' : 'unknown'
  if (beside.database !== inside.database) return 'other'
  return inside.changes < beside.changes ? 'older' : 'current' // a run that was killed leaves a mark that is behind
}
