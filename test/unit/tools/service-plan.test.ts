import { installPlan, uninstallPlan } from '../../../src/tools/service/service-plan.ts'

const place = { root: '', executable: '/home/me/keylime', keylimeDir: '/var/lib/keylime' }
const gone = { purge: false, others: [], present: [] }
const systemctl = (actions: ReturnType<typeof installPlan>) => actions.flatMap((action) => (action.do === 'systemctl' ? [action.args] : []))

test('an installation on a running machine ends with a service that runs this executable, although an older one may run', () => {
  const plan = installPlan('agent', place, { configText: '' })
  expect(systemctl(plan)).toEqual([['daemon-reload'], ['enable', 'keylime-agent.service'], ['restart', 'keylime-agent.service']])
  expect(plan).toContainEqual(
    expect.objectContaining({ do: 'copy', from: '/home/me/keylime', path: '/usr/local/bin/keylime', mode: 0o755 }),
  )
})

test('the agent gets the group that may use the TPM where there is none; others only join it', () => {
  const user = (role: 'agent' | 'verifier') => installPlan(role, place, { configText: '' }).find((action) => action.do === 'user')
  expect(user('agent')).toMatchObject({ makesGroup: true, tell: expect.stringContaining('the group "tss"') })
  expect(user('verifier')).toMatchObject({ makesGroup: false, tell: expect.stringContaining('if there is one') })
})

test('an executable that is at its place already is not copied', () => {
  const plan = installPlan('agent', { ...place, executable: '/usr/local/bin/keylime' }, { configText: '' })
  expect(plan.filter((action) => action.do === 'copy')).toEqual([])
})

test('the agent gets its memory for secrets, as a mount unit, and uninstall takes it away', () => {
  const file = '/etc/systemd/system/var-lib-keylime-secure.mount'
  const mounts = (noswap?: boolean) =>
    installPlan('agent', place, { configText: '', ...(noswap === undefined ? {} : { noswap }) }).filter(
      (action) => action.do === 'file' && action.path === file,
    )
  expect(mounts()).toEqual([expect.objectContaining({ content: expect.stringContaining('nosuid,nodev\n'), mode: 0o644 })])
  expect(mounts(true)).toEqual([expect.objectContaining({ content: expect.stringContaining('nosuid,nodev,noswap\n') })])
  expect(uninstallPlan('agent', place, gone)).toContainEqual({ do: 'remove', path: file, tell: `remove ${file}` })
  expect(JSON.stringify([installPlan('verifier', place, { configText: '' }), uninstallPlan('verifier', place, gone)])).not.toContain(file)
})

test('another root gets neither user nor systemctl', () => {
  for (const plan of [
    installPlan('verifier', { ...place, root: '/mnt' }, { configText: '' }),
    uninstallPlan('verifier', { ...place, root: '/mnt' }, gone),
  ])
    expect(plan.filter((action) => action.do === 'user' || action.do === 'systemctl')).toEqual([])
})

test('an image starts the service at its first boot, and makes the user', () => {
  const image = { ...place, root: '/mnt' }
  const plan = installPlan('verifier', image, { configText: '' })
  const text = (file: string) => plan.find((action) => action.do === 'file' && action.path === file)
  expect(text('/mnt/etc/sysusers.d/keylime.conf')).toMatchObject({ content: 'u keylime - "Keylime" /var/lib/keylime\nm keylime tss\n' })
  expect(text('/mnt/etc/tmpfiles.d/keylime-verifier.conf')).toMatchObject({
    content: 'd /var/lib/keylime 0750 keylime keylime -\nz /etc/keylime/verifier.conf 0640 root keylime -\n',
  })
  const link = '/mnt/etc/systemd/system/multi-user.target.wants/keylime-verifier.service'
  expect(plan).toContainEqual(expect.objectContaining({ do: 'link', path: link, target: '../keylime-verifier.service' }))
  expect(uninstallPlan('verifier', image, gone)).toContainEqual(expect.objectContaining({ do: 'remove', path: link }))
})

test('what a first run as root left is given to the service before it starts, and nothing else', () => {
  const ofOthers = ['cv_ca', 'cv_ca-password', 'cv_data.sqlite-wal', 'reg_data.sqlite', 'ca', 'agent_data.json', 'tpm_cert_store', 'mine']
  const plan = installPlan('verifier', place, { configText: '', ofOthers })
  expect(plan.flatMap((action) => (action.do === 'own' ? [action.path] : []))).toEqual(
    ['cv_ca', 'cv_ca-password', 'cv_data.sqlite-wal', 'reg_data.sqlite', 'ca'].map((name) => `/var/lib/keylime/${name}`),
  )
  expect(plan.findIndex(({ do: what }) => what === 'own')).toBeLessThan(plan.findIndex(({ do: what }) => what === 'systemctl'))
  expect(installPlan('agent', place, { configText: '', ofOthers }).filter(({ do: what }) => what === 'own')).toEqual([])
})

test('state belongs to the user of the service, the agent’s to root, who becomes another user by itself', () => {
  const state = (role: 'agent' | 'verifier') => installPlan(role, place, { configText: '' }).find((action) => action.do === 'directory')
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
  const ofAgent = ['accepted-delivery.json', 'agent_data.json', 'waiting-revocations.json']
  const present = ['cv_data.sqlite', 'cv_ca', 'cv_ca-password', 'reg_data.sqlite', 'reg_ca', ...ofAgent, 'tpm_cert_store', 'ca']
  const removed = (role: 'agent' | 'verifier', others: ('agent' | 'registrar')[]) =>
    uninstallPlan(role, place, { purge: true, others, present }).flatMap((action) => (action.do === 'remove' ? [action.path] : []))
  expect(removed('verifier', ['registrar'])).toEqual([
    '/etc/systemd/system/keylime-verifier.service',
    '/etc/keylime/verifier.conf',
    '/var/lib/keylime/cv_data.sqlite',
    '/var/lib/keylime/cv_ca',
    '/var/lib/keylime/cv_ca-password',
  ])
  expect(removed('verifier', ['agent'])).toContain('/var/lib/keylime/reg_data.sqlite')
  expect(removed('agent', ['registrar']).filter((file) => file.startsWith('/var'))).toEqual(
    ofAgent.map((name) => `/var/lib/keylime/${name}`),
  )
})

test('that the start of an agent waits for its registration is told before', () => {
  const last = (role: 'agent' | 'verifier') => installPlan(role, place, { configText: '' }).at(-1)!.tell
  expect(last('agent')).toMatch(/waits until it is registered: `journalctl -u keylime-agent`/)
  expect(last('verifier')).not.toContain('registered')
})
