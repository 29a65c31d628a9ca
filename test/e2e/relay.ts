// Carries connections of one kind to another: `node relay.ts FROM TO`, each a TCP port of 127.0.0.1 or the path of a unix socket.
import net from 'node:net'

const place = (text: string) => (/^\d+$/.test(text) ? { port: Number(text), host: '127.0.0.1' } : { path: text })
const [from = '', to = ''] = process.argv.slice(2)

net
  .createServer((caller) => {
    const called = net.connect(place(to))
    caller.pipe(called).pipe(caller)
    for (const socket of [caller, called])
      socket.on('error', () => {
        caller.destroy()
        called.destroy()
      })
  })
  .listen(place(from))
