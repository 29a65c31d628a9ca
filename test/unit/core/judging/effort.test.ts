import { Effort, TooMuchEffort } from '../../../../src/core/concurrency/effort.ts'
import { judgeAnswer } from '../../../../src/core/judging/judge-answer.ts'
import { overBudget } from '../../../../src/core/judging/over-budget.ts'
import { DEFAULT_SEVERITY, judge } from '../../../../src/core/verdict/severity.ts'
import { machineLog, machineState } from '../../../boot-log.ts'
import { BOOT_AGGREGATE, imaLine, imaVector, runtimePolicy } from '../../../ima.ts'
import { digestOf, JudgedMachine } from '../../../judged-machine.ts'

/** Microseconds that a judgement may cost at least. */
function costs(bed: JudgedMachine, evidence: Parameters<JudgedMachine['round']>[0]): number {
  const { answer, known, request } = bed.round(evidence)
  const suffices = (microseconds: number) => {
    try {
      judgeAnswer({ answer: answer }, known, { ...request, effort: new Effort(microseconds) })
      return true
    } catch (error) {
      if (error instanceof TooMuchEffort) return false
      throw error
    }
  }
  for (let limit = 1; limit <= 1e6; limit *= 2) if (suffices(limit)) return limit
  return Infinity
}
const policy = (changes: object = {}) => new JudgedMachine({ runtime: runtimePolicy(changes as never) })

test('a listed file costs little, an unknown, a signed or an excluded one and a key cost more', () => {
  const listed = imaLine(`ima-ng sha256:${digestOf('a')} /a`)
  const digests = { boot_aggregate: ['b0'.repeat(32)], '/a': [digestOf('a')] }
  const with50 = (line: string, changes: object = {}) =>
    costs(policy({ digests, ...changes }), { lines: [BOOT_AGGREGATE, ...Array(50).fill(line)] })
  const few = with50(listed)
  expect(few).toBeLessThanOrEqual(512)
  const unknown = imaLine(`ima-ng sha256:${digestOf('b')} /${'a'.repeat(200)}`)
  expect(with50(unknown)).toBeGreaterThan(few)
  expect(with50(unknown, { excludes: [`(x|y){1,50}.*(a|b)+z`] })).toBeGreaterThan(with50(unknown))
  expect(with50(imaVector('keyring.txt').toString().trim())).toBeGreaterThan(10_000)
})
test('a boot log that is not true is explained only where nobody waits', () => {
  const bed = new JudgedMachine({ boot: JSON.stringify(machineState('secure-boot-ima-ng')) })
  const bootLog = machineLog('secure-boot-ima-ng')
  expect(costs(bed, { bootLog })).toBeLessThanOrEqual(8192)
  expect(costs(bed, { bootLog, results: { mb_measurement_list: machineLog('quote-ecc').toString('base64') } })).toBe(Infinity)
})
test('what is too much to be judged is let pass by no policy of severities', () => {
  for (const what of ['time', 'memory'] as const) {
    const verdict = overBudget({ what, bytes: 5 << 20, seconds: 30 })
    if (verdict.outcome !== 'failed') throw new Error('it passed')
    const judgement = judge(verdict.failures, { ...DEFAULT_SEVERITY, rules: [{ eventId: /.*/, label: 'info' }] })
    expect(judgement).toMatchObject({
      recoverable: false,
      worst: { eventId: 'internal.verifier.judging_budget', severityLabel: 'emergency' },
    })
    expect(judgement.worst.context.message).toContain('5.0 MiB')
  }
})
