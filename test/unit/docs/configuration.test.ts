import fs from 'node:fs'
import path from 'node:path'
import { configurationPage } from '../../../docs/generate.ts'

test('docs/guide/configuration.md is what `npm run docs` makes of the option tables', () => {
  const page = fs.readFileSync(path.resolve(import.meta.dirname, '../../../docs/guide/configuration.md'), 'utf8')
  expect(page === configurationPage()).toBe(true)
})
