import fs from 'node:fs'
import path from 'node:path'
import { oneOfEach } from '../../verifier-events.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const page = fs.readFileSync(path.join(root, 'docs/guide/audit-log.md'), 'utf8')

test('the page of the audit log names every event, and no other', () => {
  const table = page.split('## What is in it')[1]!.split('\n\n')[1]!
  const named = [...table.matchAll(/`([a-z]+(?:_[a-z]+)+)`/g)].map((match) => match[1]!).filter((name) => !name.startsWith('audit_'))
  expect(named.sort()).toEqual(
    oneOfEach()
      .map(({ type }) => type)
      .sort(),
  )
})

test('each break that the page explains is one that `verify` says', () => {
  const source = fs.readFileSync(path.join(root, 'src/core/audit/verify-chain.ts'), 'utf8')
  const rows = page.split('| It says |')[1]!.split('\n\n')[0]!
  const quoted = [...rows.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1]!)
  const pieces = quoted.flatMap((text) =>
    text
      .split(/\d+/)
      .map((piece) => piece.trim())
      .filter((piece) => piece.length > 8),
  )
  expect(quoted.length).toBe(8)
  expect(pieces.filter((piece) => !source.includes(piece))).toEqual([])
})
