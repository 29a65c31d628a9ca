import assert from 'node:assert/strict'
import { parsePythonLiteral } from '../../../src/config/python-literal.ts'
import { pythonRepr } from '../../../src/core/python/python-text.ts'
import { pythonReference } from '../python-reference.ts'
import { demand, type Target, text } from '../target.ts'

const REFERENCE = `
import ast, warnings
warnings.simplefilter('ignore')
def answer(text):
    return ast.literal_eval(text.strip())
`
let reference: ReturnType<typeof pythonReference> | undefined

/** Literals of Python in configuration files: what both take is the same value, and what Python writes is read. */
export const pythonLiteral: Target = {
  seeds: () =>
    ["['a', 'b']", '["x\\n", 1, -2.5, True, None]', "{'a': (1, 2), 'b': {}}", "('one',)", '[]', "'it\\'s'", '[true, false, null]'].map(
      (one) => text(one),
    ),
  words: ['True', 'False', 'None', "'", '"', '\\n', '[', ']', '(', ')', '{', '}', ': ', ','],
  run(input) {
    const source = input.toString('utf8')
    const ours = read(source)
    if (!ours) return
    assert.deepEqual(parsePythonLiteral(pythonRepr(ours.value)), ours.value)
    // numbers as keys are texts here, and \/ is of JSON
    if (!/^[\x20-\x7e]*$/.test(source)) return
    reference ??= pythonReference(REFERENCE)
    const python = reference?.(source)
    if (python && !/[\d.]\s*:|\\\//.test(source)) assert.deepEqual(JSON.parse(JSON.stringify(ours.value)), python.value)
  },
}

/** Refused with words about the text: a plain Error, which becomes a fault of the option. */
function read(source: string): { value: ReturnType<typeof parsePythonLiteral> } | null {
  try {
    return { value: parsePythonLiteral(source) }
  } catch (error) {
    demand(error instanceof Error && error.message.startsWith('must be a list such as'), () => String(error))
    return null
  }
}
