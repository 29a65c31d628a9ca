import { createSinceBackup } from '../../../../src/core/audit/since-backup.ts'
import type { VerifierEvent } from '../../../../src/core/events/verifier-event.ts'

const IN_BACKUP = new Set(['old', 'older'])

type Given = [VerifierEvent['type'], string]

/** What follows from events of these types, each of a machine or a policy. */
function since(given: readonly Given[]) {
  const found = createSinceBackup((id) => IN_BACKUP.has(id))
  for (const [type, name] of given) found.event({ type, agent_id: name, kind: 'runtime', name } as never)
  return found.result()
}

const NOTHING = { added: [], removed: [], updated: [], failed: [], stopped: [], reactivated: [], policies: [] }

test.each<[string, Given[], object]>([
  ['nothing', [], {}],
  [
    'what says nothing of a restore',
    [
      ['verifier_started', 'x'],
      ['agent_attested', 'old'],
      ['v_released', 'old'],
    ],
    {},
  ],
  ['one that was added is missing', [['agent_enrolled', 'new']], { added: ['new'] }],
  [
    'one that was added and deleted is not',
    [
      ['agent_enrolled', 'new'],
      ['agent_deleted', 'new'],
    ],
    {},
  ],
  ['one that was updated only is missing where the backup has not got it', [['agent_updated', 'new']], { added: ['new'] }],
  ['one that was deleted is back', [['agent_deleted', 'old']], { removed: ['old'] }],
  [
    'one that was revoked, too',
    [
      ['agent_revoked', 'old'],
      ['agent_failed', 'old'],
    ],
    { removed: ['old'] },
  ],
  [
    'one that was deleted and added again is as before',
    [
      ['agent_deleted', 'old'],
      ['agent_enrolled', 'old'],
    ],
    { updated: ['old'] },
  ],
  [
    'one that was updated, too',
    [
      ['agent_updated', 'old'],
      ['agent_updated', 'older'],
      ['agent_updated', 'old'],
    ],
    { updated: ['old', 'older'] },
  ],
  ['one that failed', [['agent_failed', 'old']], { failed: ['old'] }],
  [
    'one that failed and is good again is not told',
    [
      ['agent_failed', 'old'],
      ['agent_recovered', 'old'],
      ['agent_failed', 'older'],
      ['agent_reactivated', 'older'],
    ],
    {},
  ],
  [
    'one that failed and was updated is as before',
    [
      ['agent_failed', 'old'],
      ['agent_updated', 'old'],
    ],
    { updated: ['old'] },
  ],
  [
    'one that failed and is not in the backup is missing',
    [
      ['agent_enrolled', 'new'],
      ['agent_failed', 'new'],
    ],
    { added: ['new'] },
  ],
  ['one that an operator stopped', [['agent_stopped', 'old']], { stopped: ['old'] }],
  [
    'one that failed and was stopped',
    [
      ['agent_failed', 'old'],
      ['agent_stopped', 'old'],
    ],
    { stopped: ['old'] },
  ],
  [
    'one that was stopped, and goes on or was deleted, is not told as that',
    [
      ['agent_stopped', 'old'],
      ['agent_reactivated', 'old'],
      ['agent_stopped', 'older'],
      ['agent_updated', 'older'],
    ],
    { updated: ['older'] },
  ],
  ['one that is stopped and in no backup is missing', [['agent_stopped', 'new']], {}],
  [
    'one that had failed or was stopped before, and goes on since, stands still again',
    [['agent_reactivated', 'old']],
    { reactivated: ['old'] },
  ],
  [
    'until it failed or was stopped once more, as it is in the backup',
    [
      ['agent_reactivated', 'old'],
      ['agent_failed', 'old'],
      ['agent_reactivated', 'older'],
      ['agent_stopped', 'older'],
    ],
    {},
  ],
  [
    'policies, each once',
    [
      ['policy_created', 'b'],
      ['policy_changed', 'b'],
      ['policy_deleted', 'a'],
      ['policy_changed', 'c'],
    ],
    { policies: ['runtime a', 'runtime b', 'runtime c'] },
  ],
])('%s', (_what, given, expected) => {
  expect(since(given)).toEqual({ ...NOTHING, ...expected })
})
