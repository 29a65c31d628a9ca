import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/** Longer texts, which are made to see how long we take, are nothing for readers that take time quadratic in them. */
const MAX_QUESTION = 6000
const PYTHON = '/usr/bin/python3'

/**
 * A function in Python that answers at once, for readers that are compared with upstream's own. @param source defines `answer(text)`, which returns what JSON can
 * say, or raises. @returns null where there is no Python; then a function that gives `{ value }`, or null when Python raised, or was not asked because the text is long.
 */
export function pythonReference(source: string): ((text: string | readonly unknown[]) => { value: unknown } | null) | null {
  if (spawnSync(PYTHON, ['-c', 'import configparser, tomllib, ast'], { stdio: 'ignore' }).status !== 0) return null
  const directory = mkdtempSync(path.join(os.tmpdir(), 'keylime-fuzz-'))
  const [questions, answers] = ['questions', 'answers'].map((name) => path.join(directory, name)) as [string, string]
  if (spawnSync('mkfifo', [questions, answers]).status !== 0) throw new Error('mkfifo failed')
  const child = spawn(PYTHON, ['-c', SERVER, questions, answers, source], { stdio: ['ignore', 'ignore', 'inherit'] })
  child.unref() // it ends with the questions, when this process does
  const [ask, listen] = [openSync(questions, 'w'), openSync(answers, 'r')]
  rmSync(directory, { recursive: true })
  return (text) => {
    const question = Buffer.from(JSON.stringify(text))
    if (question.length > MAX_QUESTION) return null
    writeAll(ask, Buffer.concat([sized(question.length), question]))
    const answer = JSON.parse(readExactly(listen, readExactly(listen, 4).readUInt32BE()).toString()) as { value: unknown } | null
    return answer
  }
}

const SERVER = `
import json, struct, sys
asked, told = open(sys.argv[1], 'rb'), open(sys.argv[2], 'wb')
space = {}
exec(sys.argv[3], space)
while True:
    head = asked.read(4)
    if len(head) < 4: break
    text = json.loads(asked.read(struct.unpack('>I', head)[0]))
    try:
        reply = json.dumps({'value': space['answer'](text)}, allow_nan=False)
    except Exception:
        reply = 'null'
    body = reply.encode()
    told.write(struct.pack('>I', len(body)) + body)
    told.flush()
`

function sized(length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  return bytes
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += again(() => writeSync(fd, bytes, at))
}

function readExactly(fd: number, count: number): Buffer {
  const bytes = Buffer.alloc(count)
  for (let at = 0; at < count; ) {
    const got = again(() => readSync(fd, bytes, at, count - at, null))
    if (got === 0) throw new Error('Python ended')
    at += got
  }
  return bytes
}

/** libFuzzer's clock interrupts whoever waits. */
function again(call: () => number): number {
  for (;;) {
    try {
      return call()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINTR') throw error
    }
  }
}
