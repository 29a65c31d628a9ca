import net from 'node:net'

/** One command to qemu's monitor at a unix socket; prints what it answers. `node monitor.ts SOCKET COMMAND`. */
const [socketPath, command] = process.argv.slice(2)
const PROMPT = '(qemu) '
const socket = net.connect(socketPath!)
let text = ''
let asked = false
socket.setTimeout(300_000, () => socket.destroy(new Error('the monitor does not answer')))
socket.on('data', (chunk) => {
  text += chunk
  if (!text.endsWith(PROMPT)) return
  if (asked) {
    process.stdout.write(text.slice(0, -PROMPT.length))
    socket.destroy()
  } else {
    asked = true
    text = ''
    socket.write(`${command}\n`)
  }
})
socket.on('error', (error) => {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
})
