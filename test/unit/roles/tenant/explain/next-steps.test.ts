import { nextSteps } from '../../../../../src/roles/tenant/explain/next-steps.ts'

const story = (changes: object = {}) =>
  ({
    agent_id: 'id',
    failures: [{}, {}],
    change: {},
    without_change: 0,
    judged_by: { runtime_policy: { name: "it's mine; rm -rf /", sha256: '' }, mb_policy: { name: 'boots', sha256: '' } },
    ...changes,
  }) as never
const change = { runtime_policy: {}, mb_policy: {}, tpm_policy: {} }

test('every kind of policy has its merge and its upload; names and files are words that no shell takes apart', () =>
  expect(nextSteps(story(), { file: 'my change.json', change }, true)).toEqual([
    'the change is in my change.json. When you have decided to accept it, merge it into your policy:',
    "  keylime policy merge policy.json 'my change.json' -o new-policy.json",
    "  keylime tenant updateruntimepolicy --runtime-policy-name 'it'\\''s mine; rm -rf /' --runtime-policy new-policy.json",
    "  keylime policy merge boot.json 'my change.json' -o new-boot.json",
    '  keylime tenant updatembpolicy --mb-policy-name boots --mb-policy new-boot.json',
    "  keylime policy merge tpm.json 'my change.json' -o new-tpm.json",
    '  keylime tenant update -u id --tpm_policy "$(cat new-tpm.json)"',
  ]))

test('without a file the hint says how to get one, and failures that nothing heals are counted', () => {
  expect(nextSteps(story(), null, false)).toEqual([
    'hint: `keylime tenant explain -u id --patch change.json` writes the smallest change that accepts 2 failures',
  ])
  expect(nextSteps(story({ without_change: 1 }), null, false)).toEqual([
    'no policy change would accept 1 failure: see "look at"',
    'hint: `keylime tenant explain -u id --patch change.json` writes the smallest change that accepts the others',
  ])
  expect(nextSteps(story({ without_change: 2, change: null }), null, true)).toEqual([
    'no policy change would accept 2 failures: see "look at"',
    'no change was written',
  ])
  expect(nextSteps(story({ without_change: 2, change: null }), null, false).length).toBe(1)
})
