import { collectAllowList } from '../../../../src/core/ima/collect-digests.ts'
import { emptyParts, sorted } from '../../../../src/core/ima/policy-document.ts'

const A = 'ab'.repeat(32)
const read = (text: string) => {
  const parts = emptyParts()
  const unread = collectAllowList(text, parts)
  return { names: Object.keys(sorted(parts.digests)), unread }
}

test.each<[string, string, string]>([
  ['text mode', `${A}  /bin/a\n`, '/bin/a'],
  ['binary mode', `${A} */bin/a\n`, '/bin/a'],
  ['text mode of a name that begins with a star', `${A}  *a\n`, '*a'],
  ['a name with a backslash', `\\${A}  /units/a\\\\x2db.slice\n`, '/units/a\\x2db.slice'],
  ['a name with a newline and a return', `\\${A} */bin/a\\nb\\rc\n`, '/bin/a\nb\rc'],
  ['a backslash in a name of a line without escapes', `${A}  /units/a\\x2db.slice\n`, '/units/a\\x2db.slice'],
  ['--tag', `SHA256 (/bin/a (copy)) = ${A}\n`, '/bin/a_(copy)'],
  ['--tag of a name with a backslash', `\\SHA256 (/bin/a\\\\b) = ${A}\n`, '/bin/a\\b'],
  ['upper case', `${A.toUpperCase()}  /bin/a\n`, '/bin/a'],
  ['line ends of another system', `${A}  /bin/a\r\n`, '/bin/a'],
  ['blanks that somebody added', `  ${A}\t /bin/a  \n`, '/bin/a'],
])('a list in %s is read', (_what, text, name) => expect(read(text)).toEqual({ names: [name], unread: [] }))
test('--zero ends each line with a zero, and names have newlines as they are', () =>
  expect(read(`${A}  /bin/a\nb\0${A}  /bin/c\0`)).toEqual({ names: ['/bin/a\nb', '/bin/c'], unread: [] }))
test('other lines are counted', () => expect(read(`# comment\n${A}\n${A}  /x\nabcd  /y\n`)).toEqual({ names: ['/x'], unread: [1, 2, 4] }))
