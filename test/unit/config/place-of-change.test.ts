import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { changeFile } from '../../../src/config/edit-file.ts'
import { effectiveSettings } from '../../../src/config/effective.ts'
import { placeOfChange } from '../../../src/config/place-of-change.ts'
import { type ConfiguredRole, TABLES } from '../../../src/config/tables.ts'

const BASE = '[verifier]\nport = 1\n'
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-place-'))
afterEach(() => fs.rmSync(root, { recursive: true, force: true }))
const at = (file: string) => path.join(root, file)
function write(file: string, text: string): void {
  fs.mkdirSync(path.dirname(at(file)), { recursive: true })
  fs.writeFileSync(at(file), text)
}

test.each<[string, Record<string, string>, string[], string]>([
  [
    'the drop-in that says it now',
    { 'etc/keylime/verifier.conf': BASE, 'etc/keylime/verifier.conf.d/99-x.conf': BASE },
    ['verifier', 'port', '2'],
    'etc/keylime/verifier.conf.d/99-x.conf',
  ],
  ['the role’s own, for what nobody says', { 'etc/keylime/verifier.conf': BASE }, ['verifier', 'uuid', 'x'], 'etc/keylime/verifier.conf'],
  ['a new file, where there is none', {}, ['verifier', 'uuid', 'x'], 'etc/keylime/verifier.conf'],
  [
    'a drop-in beside the file of the distribution, which would be hidden',
    { 'usr/etc/keylime/verifier.conf': BASE },
    ['verifier', 'port', '2'],
    'etc/keylime/verifier.conf.d/90-local.conf',
  ],
  [
    'a drop-in, where one of the distribution overrules the role’s own file',
    { 'etc/keylime/verifier.conf': '[verifier]\nuuid = a\n', 'usr/etc/keylime/verifier.conf.d/50-x.conf': BASE },
    ['verifier', 'port', '2'],
    'etc/keylime/verifier.conf.d/90-local.conf',
  ],
  [
    'a drop-in, when it is asked for',
    { 'etc/keylime/verifier.conf': BASE },
    ['verifier', 'port', '2', '--drop-in'],
    'etc/keylime/verifier.conf.d/90-local.conf',
  ],
  ['no drop-in that nobody would read', {}, ['verifier', 'uuid', 'x', '--drop-in'], 'etc/keylime/verifier.conf'],
  [
    'a drop-in of the agent, which reads it without a file too',
    {},
    ['agent', 'uuid', 'x', '--drop-in'],
    'etc/keylime/agent.conf.d/90-local.conf',
  ],
])('a change goes to %s, and counts there', (_, files, [role, name, value, dropIn], expected) => {
  for (const [file, text] of Object.entries(files)) write(file, text)
  const place = { env: {}, roots: { etc: at('etc/keylime'), usrEtc: at('usr/etc/keylime') } }
  const table = TABLES[role as ConfiguredRole]
  const option = table[name!]!
  const found = placeOfChange(role as ConfiguredRole, name!, option, { ...place, dropIn: dropIn !== undefined })
  expect(found).toEqual({ file: at(expected), isNew: !(expected in files) })
  const before = found.isNew ? '' : files[expected]!
  const change = { section: role!, option: name!, text: role === 'agent' ? `"${value}"` : value!, isMeant: () => true }
  const { text, line } = changeFile(before, role === 'agent' ? 'toml' : 'python', change)
  write(expected, text)
  const { settings } = effectiveSettings(role as ConfiguredRole, table, place)
  expect(settings.find((setting) => setting.option === name)).toMatchObject({ value, origin: { from: 'file', file: at(expected), line } })
})
