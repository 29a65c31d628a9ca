import { compileExcludes } from '../../../src/core/ima/excludes.ts'
import { hiddenSteps } from '../../../src/core/ima/python-regex.ts'
import { pythonReference } from '../python-reference.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

/** What takes Python longer has no answer. */
const REFERENCE = `
import re, signal, warnings
warnings.simplefilter('ignore')
def stop(*_): raise TimeoutError()
signal.signal(signal.SIGALRM, stop)
def answer(text):
    expression, names = text
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        compiled = re.compile(expression)
        return [compiled.match(name) is not None for name in names]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
`
const DEAR = 1000
let reference: ReturnType<typeof pythonReference> | undefined
/** With a word boundary a name that is not ASCII is never excluded: it is judged. */
const isMoreCareful = (expression: string, name: string) => /\\[bB]/.test(expression) && /[^\0-\x7f]/.test(name)
const NAMES = ['/tmp/x', '/var/log/a.log', 'boot_aggregate', '', 'a', 'aaab', '/usr/bin/x y', 'A_1', '10.0', 'é', '/tmp/aé']

/** Excludes of a policy: refused in words, or with the meaning that they have to upstream's interpreter. The last line is a name. */
export const exclude: Target = {
  seeds: () =>
    [
      '/tmp/.*',
      '/var/log/(a|b)+\\.log$',
      '[^/]+\\d{2,}',
      '(?i)A_\\w\\Z',
      '(?P<n>a)b',
      'a{,3}b',
      '\\x41|\\u0042',
      '[\\]a-c]*',
      '(?#note)x?',
    ].map((one) => text(one, '/tmp/x')),
  maxBytes: 64,
  words: ['(?:', '(?i)', '(?P<a>', '(?#', '\\d', '\\w', '\\s', '\\b', '\\Z', '\\A', '{,2}', '[^', '.*', '|', '\\x41', '\\u0041'],
  run(input) {
    const source = input.toString('utf8')
    const [expression = '', ...rest] = source.split('\n')
    if (hiddenSteps(expression) >= DEAR) return // it takes long, and is reckoned
    const matches = unlessRefused(['invalid_request'], () => compileExcludes([expression], 'excludes'))
    if (!matches) return
    const names = [...NAMES, rest.join('\n')]
    const ours = names.map((name) => matches(name))
    if (!/^[\x20-\x7e]*$/.test(expression)) return
    reference ??= pythonReference(REFERENCE)
    const theirs = reference?.([expression, names])
    if (!theirs) return
    for (const [i, name] of names.entries()) {
      const python = (theirs.value as boolean[])[i]
      const agree = ours[i] === python || (ours[i] === false && isMoreCareful(expression, name))
      demand(agree, () => `Python says ${python} of ${JSON.stringify(name)}, we ${ours[i]}`)
    }
  },
}
