import type { Logger } from '../../../../../src/io/log/logger.ts'
import { PushReporter } from '../../../../../src/roles/agent/push/push-news.ts'

function reporter() {
  const lines: string[] = []
  const clock = { at: 0, monotonic: () => clock.at }
  const note = (level: string) => (message: string) => void lines.push(`${level}: ${message}`)
  const logger: Logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error'), child: () => logger }
  return { lines, clock, told: new PushReporter(logger, clock) }
}

test('each change is told once, and what stays as it is only to who debugs', () => {
  const { lines, clock, told } = reporter()
  for (let i = 0; i < 3; i++) told.tell({ state: 'attesting', text: 'good' })
  for (let i = 0; i < 3; i++) told.tell({ state: 'unreachable', text: 'nobody there' })
  told.tell({ state: 'unreachable', text: 'another reason' })
  clock.at = 200_000
  for (let i = 0; i < 2; i++) told.tell({ state: 'attesting', text: 'good' })
  expect(lines.filter((line) => !line.startsWith('debug'))).toEqual([
    'info: good',
    'warn: nobody there',
    'warn: another reason',
    'info: good, after 3 min without',
  ])
  expect(lines).toHaveLength(9)
})

test('to be asked to wait is no trouble, and ends none', () => {
  const { lines, clock, told } = reporter()
  told.tell({ state: 'waiting', text: 'too early' })
  told.tell({ state: 'attesting', text: 'good' })
  told.tell({ state: 'refused', text: 'no' })
  clock.at = 60_000
  told.tell({ state: 'waiting', text: 'too early' })
  told.tell({ state: 'attesting', text: 'good' })
  expect(lines).toEqual(['info: too early', 'info: good', 'warn: no', 'info: too early', 'info: good, after 60 s without'])
})
