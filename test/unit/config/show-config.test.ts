import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { showConfig } from '../../../src/config/effective.ts'
import { holdsSecret, shownText } from '../../../src/config/option.ts'
import { verifierOptions } from '../../../src/config/verifier.ts'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-show-'))
afterAll(() => fs.rmSync(dir, { recursive: true }))
const file = path.join(dir, 'verifier.conf')
fs.writeFileSync(file, '[verifier]\nretry_interval = 7\nserver_key_password = hunter2\nmax_retries = many\n[revocations]\nzmq_port = 9\n')
const lines = showConfig('verifier', verifierOptions, { KEYLIME_VERIFIER_CONFIG: file, KEYLIME_VERIFIER_PORT: '1234' })

test.each([
  ['what a file says, with its line', `retry_interval = 7  # ${file}:2`],
  ['what the environment says', 'port = 1234  # environment KEYLIME_VERIFIER_PORT'],
  ['what nobody says', 'ip = 127.0.0.1  # default'],
  ['a list of ours that nobody sets', 'authorized_clients = default  # default'],
  ['that there is a secret, and not which', `server_key_password = [secret]  # ${file}:3`],
  ['what cannot be used, as it is written', `max_retries = many  # ${file}:4`],
  ['options of other sections', `zmq_port = 9  # ${file}:6`],
])('--show-config shows %s', (_, line) => expect(lines).toContain(line))

test('it names the files, and can be read as sections', () => {
  expect(lines[0]).toBe(`# verifier: ${file}`)
  expect(lines).toEqual(expect.arrayContaining(['[verifier]', '[revocations]']))
  expect(lines.join('\n')).not.toContain('hunter2')
})

test('of a database URL the password is not shown, whoever shows it, and a file with one is as secret as the password', () => {
  const option = verifierOptions.database_url
  const url = 'postgresql://me:opensesame@db.example/keylime'
  const lines = showConfig('verifier', verifierOptions, { KEYLIME_VERIFIER_DATABASE_URL: url, KEYLIME_DIR: '/nowhere' })
  expect(lines.join('\n')).toContain('database_url = postgresql://me:[secret]@db.example/keylime')
  expect([shownText(option, url), holdsSecret(option, url)]).toEqual(['postgresql://me:[secret]@db.example/keylime', true])
  expect([shownText(option, 'sqlite'), holdsSecret(option, 'sqlite'), holdsSecret(option, 'postgresql://me@h/d')]).toEqual([
    'sqlite',
    false,
    false,
  ])
  expect(JSON.stringify(lines)).not.toContain('opensesame')
})

test.each([
  [
    'webhook_url',
    'https://me:opensesame@h.example:8/x?token=opensesame&y=z#f',
    'https://[secret]@h.example:8/x?token=[secret]&y=[secret]#f',
  ],
  ['webhook_url', 'https://h.example/x', 'https://h.example/x'],
  ['webhook_proxy', 'http://me:open@sesame@proxy:3128', 'http://[secret]@proxy:3128'],
] as const)('of %s neither user nor token is shown: %s', (name, url, shown) => {
  const lines = showConfig('verifier', verifierOptions, {
    [`KEYLIME_VERIFIER_REVOCATIONS_${name.toUpperCase()}`]: url,
    KEYLIME_DIR: '/nowhere',
  })
  expect(lines).toContainEqual(expect.stringMatching(`^${name} = `))
  expect(lines.find((line) => line.startsWith(`${name} = `))?.split('  #')[0]).toBe(`${name} = ${shown}`)
})
