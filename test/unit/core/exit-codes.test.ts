import fs from 'node:fs'
import { ERROR_CODES, exitCodeOf } from '../../../src/core/errors.ts'

test('the table of the guide has every error under its exit code, and no other', () => {
  const page = fs.readFileSync(new URL('../../../docs/guide/exit-codes.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| (\d) \| [^|]+ \| ([^|]*) \|$/gm)]
  const told = rows.flatMap(([, code, errors = '']) => [...errors.matchAll(/`(\w+)`/g)].map(([, error]) => [error, Number(code)]))
  expect(Object.fromEntries(told)).toEqual(Object.fromEntries(ERROR_CODES.map((code) => [code, exitCodeOf(code)])))
  expect(told.length).toBe(ERROR_CODES.length)
})
