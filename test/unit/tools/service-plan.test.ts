import { installPlan, uninstallPlan } from '../../../src/tools/service/service-plan.ts'

const place = { root: '', executable: '/home/me/keylime', keylimeDir: '/var/lib/keylime' }
const gone = { purge: false, others: [], present: [] }
const systemctl = (actions: ReturnType<typeof installPlan>) => actions.flatMap((action) => (action.do === 'systemctl' ? [action.args] : []))

test('an installation on a running machine ends with a service that runs this executable, although an older one may run', () => {
  const plan = installPlan('agent', place, '')
  expect(systemctl(plan)).toEqual([['daemon-reload'], ['enable', 'keylime-agent.service'], ['restart', 'keylime-agent.service']])
  expect(plan).toContainEqual(
    expect.objectContaining({ do: 'copy', from: '/home/me/keylime', path: '/usr/local/bin/keylime', mode: 0o755 }),
  )
})

test('an executable that is at its place already is not copied', () => {
  const plan = installPlan('agent', { ...place, executable: '/usr/local/bin/keylime' }, '')
  expect(plan.filter((action) => action.do === 'copy')).toEqual([])
})

test('another root gets neither user nor systemctl', () => {
  for (const plan of [installPlan('verifier', { ...place, root: '/mnt' }, ''), uninstallPlan('verifier', { ...place, root: '/mnt' }, gone)])
    expect(plan.filter((action) => action.do === 'user' || action.do === 'systemctl')).toEqual([])
})

test('state belongs to the user of the service, the agent’s to root, who becomes another user by itself', () => {
  const state = (role: 'agent' | 'verifier') => installPlan(role, place, '').find((action) => action.do === 'directory')
  expect(state('verifier')).toMatchObject({ path: '/var/lib/keylime', owner: 'keylime', mode: 0o750 })
  expect(state('agent')).toMatchObject({ path: '/var/lib/keylime', owner: 'root', mode: 0o755 })
})

test('what uninstall leaves is said, and the agent’s tmpfs is taken off', () => {
  const tells = uninstallPlan('agent', place, gone).map(({ tell }) => tell)
  expect(tells).toEqual(
    expect.arrayContaining(['/var/lib/keylime stays (--purge removes it)', expect.stringContaining('unmount /var/lib/keylime/secure')]),
  )
})

test('--purge beside other roles takes only what is of the role alone', () => {
  const present = ['cv_data.sqlite', 'cv_ca', 'reg_data.sqlite', 'reg_ca', 'agent_data.json', 'tpm_cert_store', 'ca']
  const removed = (role: 'agent' | 'verifier', others: ('agent' | 'registrar')[]) =>
    uninstallPlan(role, place, { purge: true, others, present }).flatMap((action) => (action.do === 'remove' ? [action.path] : []))
  expect(removed('verifier', ['registrar'])).toEqual([
    '/etc/systemd/system/keylime-verifier.service',
    '/etc/keylime/verifier.conf',
    '/var/lib/keylime/cv_data.sqlite',
    '/var/lib/keylime/cv_ca',
  ])
  expect(removed('verifier', ['agent'])).toContain('/var/lib/keylime/reg_data.sqlite')
})
