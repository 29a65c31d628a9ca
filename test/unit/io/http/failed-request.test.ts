import { KeylimeError } from '../../../../src/core/errors.ts'
import { failedRequests } from '../../../../src/io/http/failed-request.ts'
import type { Logger } from '../../../../src/io/log/logger.ts'

const told: [string, Record<string, unknown> | undefined][] = []
const note = (message: string, fields?: Record<string, unknown>) => void told.push([message, fields])
const logger: Logger = { debug: () => {}, info: note, warn: note, error: note, child: () => logger }
beforeEach(() => void told.splice(0))

const asked = { line: 'POST /v3.0/sessions', from: '192.0.2.1', isCertified: false, isJsonApi: false }
const wrong = () => new KeylimeError('invalid_request', 'it is wrong')

test('strangers whose requests are refused fill no log, and each is answered', () => {
  const failed = failedRequests(logger)
  for (let i = 0; i < 1000; i++) expect(failed(wrong(), asked)).toEqual({ status: 400, message: 'it is wrong' })
  expect(told.length).toBeGreaterThanOrEqual(60)
  expect(told.length).toBeLessThan(100)
  failed(wrong(), { ...asked, from: '198.51.100.7' })
  expect(told.at(-1)).toEqual(['POST /v3.0/sessions: it is wrong', expect.objectContaining({ from: '198.51.100.7' })])
  expect(Number(told.at(-1)![1]!['not_told_before'])).toBeGreaterThan(800)
})

test('who has a certificate of ours is always told of, and so is what nobody foresaw', () => {
  const failed = failedRequests(logger)
  for (let i = 0; i < 200; i++) failed(wrong(), { ...asked, isCertified: true })
  expect(told).toHaveLength(200)
  for (let i = 0; i < 200; i++) expect(failed(new TypeError('a bug'), asked)).toEqual({ status: 500 })
  expect(told).toHaveLength(400)
})

test('errors of API 3.0 have its form', () => {
  const { raw } = failedRequests(logger)(wrong(), { ...asked, isJsonApi: true })
  expect(JSON.parse(String(raw!.body))).toMatchObject({ errors: [{ status: '400', code: 'invalid_request', detail: 'it is wrong' }] })
})
