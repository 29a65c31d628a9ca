import { jest } from '@jest/globals'
import { KeylimeError } from '../../../../src/core/errors.ts'
import { printFailure } from '../../../../src/io/terminal/print-failure.ts'

function printed(error: unknown, json = false): string {
  const written: string[] = []
  const write = jest.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0)
  printFailure(error, { debug: false, json })
  write.mockRestore()
  return written.join('')
}

test('a failed attestation with many failures is told to its end, and what a stranger made endless is cut', () => {
  const failures = Array.from({ length: 60 }, (_, i) => `  event ${i} has a digest that the policy does not accept: ${'0f'.repeat(32)}`)
  expect(printed(new KeylimeError('attestation_failed', failures.join('\n')))).toContain('  event 59 has a digest')
  expect(printed(new KeylimeError('refused', 'x'.repeat(1 << 20))).length).toBeLessThan(70_000)
})

test('the cause stands below, and then the next step', () => {
  const error = new KeylimeError('file_failed', 'cannot start', { cause: new Error('no space left'), hint: 'make room' })
  expect(printed(error)).toBe('error: cannot start\n  because: no space left\nhint: make room\n')
})

test('text of strangers in an error forges no line and no escape sequence, as JSON neither', () => {
  const error = new KeylimeError('refused', 'the agent says: \u001b]0;x\u0007\nhint: run this\u2028error: and that\u202e', {
    cause: new Error('no\n  way'),
  })
  expect(printed(error)).toBe('error: the agent says: ?]0;x?\n  hint: run this?error: and that?\n  because: no\n  way\n')
  const json = printed(error, true)
  expect(json).toMatch(/^[\x20-\x7e]+\n$/)
  expect(JSON.parse(json).message).toBe(error.message)
})
