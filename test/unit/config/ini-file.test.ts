import { readIniFile } from '../../../src/config/ini-file.ts'
import { runs } from '../../thorough.ts'

const pairs = (text: string, dialect?: 'toml') =>
  readIniFile(text, dialect).entries.map((e) => `${e.section}.${e.key}=${e.value}@${e.line}`)

describe('readIniFile, Python dialect', () => {
  test('reads = and :, folds case, strips quotes and blanks, keeps line numbers', () => {
    expect(pairs('[verifier]\nIP = "127.0.0.1"\n\nport: 8881\nempty =\n')).toEqual([
      'verifier.ip=127.0.0.1@2',
      'verifier.port=8881@4',
      'verifier.empty=@5',
    ])
  })
  test('what stands behind a section is left aside, as Python does', () =>
    expect(pairs('[a] x\nb = 1\n[c]= y\nd = 2\n')).toEqual(['a.b=1@2', 'c.d=2@4']))
  test('comments stand on lines of their own only', () => {
    expect(pairs('# one\n[a]\n  ; two\nx = 1 # three\n')).toEqual(['a.x=1 # three@4'])
  })
  test('an indented line continues the value, a comment in it is left out', () => {
    expect(pairs("[a]\nx = ['1',\n   # note\n   '2']\ny = 3\n")).toEqual(["a.x=['1',\n'2']@2", 'a.y=3@5'])
  })
  test('carriage returns and a byte order mark do no harm', () => {
    expect(pairs('\uFEFF[a]\r\nx = 1\r\n')).toEqual(['a.x=1@2'])
  })
  test('only the first delimiter counts', () => expect(pairs('[a]\nurl = http://x:1/?a=b\n')).toEqual(['a.url=http://x:1/?a=b@2']))
  test('all faults are reported with their lines', () => {
    const { problems } = readIniFile('x = 1\n[a]\njunk\ny = 1\nY = 2\n[b]\n[a]\n= 3\n')
    expect(problems.map((p) => `${p.line}: ${p.message}`)).toEqual([
      '1: option "x" comes before any [section]',
      '3: "junk" is neither a section nor an option (name = value)',
      '5: option "y" in [a] is already set in line 4',
      '7: section [a] is already set in line 2',
      '8: "= 3" is neither a section nor an option (name = value)',
    ])
  })
})

describe('readIniFile, dialect of the agent', () => {
  test('quoted text, escapes, trailing comments, arrays over several lines', () => {
    const text = `[agent] # the agent\nuuid = "a # b" # note\nkey = 'c:\\d'\nport = 9002 # note\nlist = [ # first\n"a", # one\n'b'\n]\nnext = "x\\ty\\u0041"\n`
    expect(pairs(text, 'toml')).toEqual([
      'agent.uuid=a # b@2',
      'agent.key=c:\\d@3',
      'agent.port=9002@4',
      'agent.list=[\n"a",\n\'b\'\n]@5',
      'agent.next=x\tyA@9',
    ])
  })
  test('an indented option behind a whole value is an option; a plain value goes on in it', () => {
    const text = "[a]\nx = ['b',\n  'c']\n  y = \"d\"\n    z = 1\nplain = one\n  two = 2\n"
    expect(pairs(text, 'toml')).toEqual(["a.x=['b',\n'c']@2", 'a.y=d@4', 'a.z=1@5', 'a.plain=one\ntwo = 2@6'])
  })
  test('all escapes of a TOML text', () => {
    expect(
      pairs(
        String.raw`[a]
x = "\b\t\n\f\r\"\\\u00e9\U0001f600\UffffffffZ"`,
        'toml',
      ),
    ).toEqual(['a.x=\b\t\n\f\r"\\é😀UffffffffZ@2'])
  })
  test('plain INI as the old Python agent used it', () => {
    expect(pairs("[agent]\nserver_key_password =\ntrusted_client_ca = ['/a']\nuuid = hash_ek\n", 'toml')).toEqual([
      'agent.server_key_password=@2',
      "agent.trusted_client_ca=['/a']@3",
      'agent.uuid=hash_ek@4',
    ])
  })
})

test('a large file is read at once, whatever is in it: nothing is looked at again and again', () => {
  const SIZE = runs(1 << 19, 1 << 17)
  const bodies = ['a = [', '"', "'", ' ', 'x =i\n', '"a" ', '[', '#', '\\'].map((piece) => piece.repeat(SIZE / piece.length))
  for (const body of bodies)
    for (const dialect of ['python', 'toml'] as const)
      for (const start of ['', 'x = [\n', 'x = a', 'x'])
        expect(readIniFile(`[a]\n${start}${body}b`, dialect).problems.length).toBeGreaterThanOrEqual(0)
})
