/** Where a server is, as it was asked for or configured. */
export interface ServerAddress {
  readonly host: string
  readonly port: number
}
