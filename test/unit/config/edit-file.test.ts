import fc from 'fast-check'
import { describeAsFile } from '../../../src/config/describe.ts'
import { type Change, changeFile, fileText, removeFromFile } from '../../../src/config/edit-file.ts'
import { readIniFile } from '../../../src/config/ini-file.ts'
import { CONFIGURED_ROLES, TABLES } from '../../../src/config/tables.ts'

const change = (option: string, text: string, more: Partial<Change> = {}): Change => ({
  section: 'verifier',
  option,
  text,
  isMeant: () => true,
  ...more,
})
const python = (before: string, what: Change) => changeFile(before, 'python', what)

test.each<[string, string, Change, string, number]>([
  ['a value in its line', '# a\n[verifier]\n ip : x  \nport = 1\n', change('ip', 'y'), '# a\n[verifier]\n ip : y\nport = 1\n', 3],
  ['a value of several lines', '[verifier]\nip = [1,\n  # c\n  2]\nport = 1\n', change('ip', '[3]'), '[verifier]\nip = [3]\nport = 1\n', 2],
  ['an empty value', '[verifier]\nip =\nport = 1\n', change('ip', 'y'), '[verifier]\nip = y\nport = 1\n', 2],
  [
    'what is not there, below its example',
    '[verifier]\n# ip = a\n# of port\nport = 1\n',
    change('ip', 'y'),
    '[verifier]\n# ip = a\nip = y\n# of port\nport = 1\n',
    3,
  ],
  [
    'what is not there, at the end of its section',
    '[verifier]\nport = 1\n\n# of b\n[b]\nip = z\n',
    change('ip', 'y'),
    '[verifier]\nport = 1\nip = y\n\n# of b\n[b]\nip = z\n',
    3,
  ],
  ['a section that is empty', '[verifier]\n\n[b]\nx = 1\n', change('ip', 'y'), '[verifier]\nip = y\n\n[b]\nx = 1\n', 2],
  ['a section that is not there', '[b]\nx = 1\n', change('ip', 'y'), '[b]\nx = 1\n\n[verifier]\nip = y\n', 5],
  ['an empty file', '', change('ip', 'y'), '[verifier]\nip = y\n', 2],
  ['a file without a last line end', '[verifier]\nport = 1', change('ip', 'y'), '[verifier]\nport = 1\nip = y', 3],
  ['a file of Windows', '[verifier]\r\nip = x\r\nport = 1\r\n', change('ip', 'y'), '[verifier]\r\nip = y\r\nport = 1\r\n', 2],
  ['a value under its older name', '[verifier]\nold = x\n', change('ip', 'y', { formerly: 'old' }), '[verifier]\nold = y\n', 2],
  [
    'the option of its section, not one of the same name',
    '[b]\nip = 1\n[verifier]\nip = 2\n',
    change('ip', 'y'),
    '[b]\nip = 1\n[verifier]\nip = y\n',
    4,
  ],
  [
    'what [DEFAULT] says, for this section alone',
    '[DEFAULT]\nip = 1\n[verifier]\nport = 2\n',
    change('ip', 'y'),
    '[DEFAULT]\nip = 1\n[verifier]\nport = 2\nip = y\n',
    5,
  ],
])('%s is changed, and nothing else', (_, before, what, after, line) => expect(python(before, what)).toEqual({ text: after, line }))

test('a comment behind a value of TOML stays', () => {
  const before = '[agent]\nuuid = "a#b" # mine\n'
  expect(changeFile(before, 'toml', change('uuid', '"c"', { section: 'agent' })).text).toBe('[agent]\nuuid = "c" # mine\n')
})

test.each<[string, string, Change, RegExp]>([
  ['a file with a fault', '[verifier]\nnonsense\n', change('ip', 'y'), /line 2: "nonsense" is neither/],
  ['a value of two lines', '[verifier]\n', change('ip', 'a\nb'), /a value must be one line/],
  [
    'a value that is read as another one',
    '[verifier]\n',
    change('ip', '" y "', { isMeant: (value) => value === '" y "' }),
    /would be read as a different one/,
  ],
  [
    'a value that swallows the next line',
    '[agent]\nip = 1\nport = 2\n',
    change('ip', '["a"', { section: 'agent' }),
    /change the meaning of other lines/,
  ],
])('%s is refused', (_, before, what, reason) => {
  expect(() => changeFile(before, what.section === 'agent' ? 'toml' : 'python', what)).toThrow(reason)
})

test.each<[string, string, string, number[]]>([
  ['in its line', '# a\n[verifier]\nip = x\nport = 1\n', '# a\n[verifier]\nport = 1\n', [3]],
  ['of several lines', '[verifier]\nip = [1,\n  2]\nport = 1\n', '[verifier]\nport = 1\n', [2]],
  ['under its older name', '[verifier]\nold = x\nport = 1', '[verifier]\nport = 1', [2]],
  ['of its own section', '[b]\nip = 1\n[verifier]\nip = 2\n', '[b]\nip = 1\n[verifier]\n', [4]],
  ['in a file of Windows', '[verifier]\r\nip = x\r\nport = 1\r\n', '[verifier]\r\nport = 1\r\n', [2]],
  ['that nobody says', '[DEFAULT]\nip = 1\n[verifier]\n# ip = a\n', '[DEFAULT]\nip = 1\n[verifier]\n# ip = a\n', []],
])('an option %s is removed, and nothing else', (_, before, after, lines) =>
  expect(removeFromFile(before, 'python', { section: 'verifier', option: 'ip', formerly: 'old' })).toEqual({ text: after, lines }),
)

test('nothing is removed from a file with a fault', () => {
  expect(() => removeFromFile('[verifier]\nnonsense\nip = 1\n', 'python', { section: 'verifier', option: 'ip' })).toThrow(/line 2/)
})

test('whatever text a secret or a name is, the file says that text, or the change is refused', () => {
  const word = fc.string({ unit: 'grapheme', maxLength: 20 })
  fc.assert(
    fc.property(word, fc.constantFrom(...CONFIGURED_ROLES), (text, role) => {
      const option = TABLES[role][role === 'agent' ? 'uuid' : 'version']!
      const what = change(role === 'agent' ? 'uuid' : 'version', fileText(role, option, text, text), {
        section: role,
        isMeant: (value) => value === text,
      })
      const dialect = role === 'agent' ? 'toml' : 'python'
      try {
        const { text: after, line } = changeFile(describeAsFile(role, TABLES[role]), dialect, what)
        const { entries, problems } = readIniFile(after, dialect)
        expect([problems, entries.find(({ key, section }) => key === what.option && section === role)]).toMatchObject([
          [],
          { value: text, line },
        ])
      } catch (error) {
        expect(String(error)).toMatch(/KeylimeError: /)
      }
    }),
    { seed: 116, numRuns: 300 },
  )
})

test('each default of each role is written as a text that means it, and lists as upstream reads them', () => {
  for (const role of CONFIGURED_ROLES)
    for (const [name, option] of Object.entries(TABLES[role])) {
      if (option.secret || option.default === undefined || typeof option.default === 'object') continue
      const text = fileText(role, option, String(option.default), option.default)
      const { entries } = readIniFile(`[x]\n${name} = ${text}\n`, role === 'agent' ? 'toml' : 'python')
      expect([name, option.parse(entries[0]!.value)]).toEqual([name, option.default])
    }
  const { accept_tpm_hash_algs: list } = TABLES.tenant
  expect(fileText('tenant', list!, 'a, b', ['a', 'b'])).toBe("['a', 'b']")
  expect(fileText('agent', TABLES.agent['trusted_client_ca']!, 'a, b', ['a', 'b'])).toBe('"a, b"')
  expect(fileText('agent', TABLES.agent['ek_handle']!, '0x81010001', 0x81010001)).toBe('"0x81010001"')
  expect(fileText('verifier', TABLES.verifier['exponential_backoff']!, 'no', false)).toBe('False')
  expect(fileText('agent', TABLES.agent['enable_agent_mtls']!, 'No', false)).toBe('false')
})
