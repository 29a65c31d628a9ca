/** Connections to a server, at one moment. */
export interface PoolLoad {
  readonly busy: number
  readonly idle: number
  /** As many may be open at once. */
  readonly most: number
  /** Who waits for one to be free. */
  readonly waiting: number
  /** Since the start: could not be had, or were cut. */
  readonly failed: number
}
