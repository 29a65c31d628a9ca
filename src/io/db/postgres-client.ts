import pg from 'pg'

/** As the library types it. */
type Connected = ((error: Error) => void) | ((error: null, client: pg.Client) => void)

/**
 * A connection that ends when it cannot be used. The library leaves one open for which there is no password, until the server's `authentication_timeout`: tried again and again, they take all
 * places of the server, and whoever only looked hangs for as long.
 */
export class EndingClient extends pg.Client {
  override connect(): Promise<pg.Client>
  override connect(callback: Connected): void
  override connect(callback?: Connected): Promise<pg.Client> | undefined {
    const told = callback as ((error: Error | null, client: pg.Client) => void) | undefined
    const connected = new Promise<pg.Client>((resolve, reject) =>
      super.connect((error: Error | null) => {
        if (error) this.connection.stream.destroy()
        if (told) told(error, this)
        else if (error) reject(error)
        else resolve(this)
      }),
    )
    return told ? undefined : connected
  }
}
