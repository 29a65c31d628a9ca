/** Ends quietly, with status 1, when nobody reads on (`… | head`): what is printed is all that this program is for. */
export function endOnBrokenPipe(stream: NodeJS.WriteStream = process.stdout): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(1)
  })
}
