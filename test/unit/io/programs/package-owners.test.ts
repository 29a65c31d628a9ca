import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileDigest } from '../../../../src/io/files/file-digest.ts'
import { packageOwners } from '../../../../src/io/programs/package-owners.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-owners-'))
afterAll(() => fs.rmSync(dir, { recursive: true }))

/** Package managers that answer as told, first on the path of programs; they note how they were called, each in one write: some run at the same time. */
function programs(name: string, scripts: Record<string, string>): { env: NodeJS.ProcessEnv; calls(): string[] } {
  const bin = path.join(dir, name)
  fs.mkdirSync(bin)
  const log = path.join(bin, 'calls')
  fs.writeFileSync(log, '')
  for (const [program, script] of Object.entries(scripts))
    fs.writeFileSync(
      path.join(bin, program),
      `#!/bin/sh\ncall=$(echo "$@" | tr '\\n' ' ')\nprintf '%s\\n' "$call" >> ${log}\n${script}\n`,
      { mode: 0o755 },
    )
  return { env: { PATH: `${bin}:/usr/bin:/bin` }, calls: () => fs.readFileSync(log, 'utf8').trim().split('\n') }
}
const owners = async (paths: string[], env: NodeJS.ProcessEnv) => Object.fromEntries(await packageOwners(paths, env))

test('dpkg is asked once for all paths, by both names where /bin is a link into /usr', async () => {
  const { env, calls } = programs('dpkg', {
    'dpkg-query': `case "$1" in
-S) printf '%s\\n' 'coreutils: /bin/ls' 'diversion by dash from: /bin/x' 'libc6:amd64, libc6:i386: /usr/share/doc/c'; exit 1;;
-W) printf '%s\\n' 'coreutils coreutils 9.1-1' 'libc6 libc6:amd64 2.36-9';;
esac`,
    rpm: 'exit 1',
  })
  expect(await owners(['/usr/bin/ls', '/usr/share/doc/c', '/bin/x', '/none'], env)).toEqual({
    '/usr/bin/ls': { name: 'coreutils', version: '9.1-1' },
    '/usr/share/doc/c': { name: 'libc6:amd64', version: '2.36-9' },
  })
  expect(calls().filter((line) => line.startsWith('-S'))).toEqual(['-S -- /usr/bin/ls /bin/ls /usr/share/doc/c /bin/x /usr/bin/x /none '])
})

test('RPM is asked only for files that are here, again one by one when its lines do not fit', async () => {
  const file = path.join(dir, 'owned')
  const both = path.join(dir, 'of-two')
  fs.writeFileSync(file, '')
  fs.writeFileSync(both, '')
  const { env, calls } = programs('rpm', {
    'dpkg-query': 'exit 1',
    rpm: `shift 4; for f; do case "$f" in *of-two) echo 'a 1-1'; echo 'b 2-1';; *) echo 'bash 5.2-1.fc40';; esac; done`,
  })
  expect(await owners([file, `${file}-absent`], env)).toEqual({ [file]: { name: 'bash', version: '5.2-1.fc40' } })
  expect(await owners([both, file], env)).toEqual({
    [both]: { name: 'a', version: '1-1' },
    [file]: { name: 'bash', version: '5.2-1.fc40' },
  })
  expect(calls().filter((line) => line.startsWith('-qf')).length).toBe(4)
})

test('what a package manager would read as a pattern or an option is not asked for, and nothing goes through a shell', async () => {
  const { env, calls } = programs('odd', { 'dpkg-query': 'exit 1', rpm: 'exit 1' })
  expect(await owners(['/a*', '/b?', '/c[d]', '-rf', 'relative', '/e\nf', '/g\\h'], env)).toEqual({})
  expect(calls()).toEqual([''])
  await owners(['/$(touch /tmp/x);`id`'], env)
  expect(calls()).toEqual(['-S -- /$(touch /tmp/x);`id`'])
})

test('without package managers nobody owns anything', async () => expect(await owners(['/bin/ls'], { PATH: dir })).toEqual({}))

test('the digest of a file, and nothing for what is none', async () => {
  const file = path.join(dir, 'content')
  fs.writeFileSync(file, 'content')
  fs.writeFileSync(path.join(dir, 'empty'), '')
  expect(await fileDigest(file, 'sha256')).toBe(createHash('sha256').update('content').digest('hex'))
  expect(await fileDigest(path.join(dir, 'empty'), 'sha1')).toBe(createHash('sha1').digest('hex'))
  expect(await Promise.all([dir, '/dev/zero', path.join(dir, 'none')].map((name) => fileDigest(name, 'sha256')))).toEqual([
    null,
    null,
    null,
  ])
  expect(await fileDigest(file, 'nonsense')).toBeNull()
})
