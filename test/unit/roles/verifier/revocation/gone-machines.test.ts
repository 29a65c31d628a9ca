import { noticeBeds } from '../../../../notice-bed.ts'

const open = noticeBeds()

/** Two machines that are off, and a notice to them that is stored. */
async function bed(isEnrolled: (agentId: string) => Promise<boolean>) {
  const made = await open(['gone', 'moved'], () => Promise.reject(new Error('EHOSTUNREACH')), isEnrolled)
  const { id } = await made.stores()
  const deliveries = () => made.store.deliveries(id, '', 9)
  const states = async () =>
    (await deliveries()).filter(({ target }) => target.startsWith('agent:')).map(({ target, state }) => `${target} ${state}`)
  return { ...made, states }
}

test('what a machine that is leased to nobody was to be told is given up if it was deleted, and left to another verifier otherwise', async () => {
  const { notifier, time, ours, called, raised, states } = await bed(async (id) => id !== 'gone')
  await notifier.resume()
  await time.pass(400)
  expect(called.toSorted()).toEqual(['gone', 'moved'])
  ours.clear()
  await time.pass(2000)
  expect(await states()).toEqual(['agent:gone given_up', 'agent:moved pending'])
  expect(raised).not.toContain('revocation_given_up') // nobody has to look after a machine that was deleted
  ours.add('moved') // which comes back: it was let go
  await notifier.adopt({ agent: 'moved' })
  await time.pass(400)
  expect(called.filter((id) => id === 'moved')).toHaveLength(2)
})

test('where it cannot be known whether it was deleted, nothing is given up', async () => {
  const { notifier, time, ours, states } = await bed(() => Promise.reject(new Error('the database is away')))
  await notifier.resume()
  await time.pass(400)
  ours.clear()
  await time.pass(2000)
  expect(await states()).toEqual(['agent:gone pending', 'agent:moved pending'])
})

test('one that is not taken up yet is told later, also while it cannot be known whether it was deleted', async () => {
  let isAway = true
  const { notifier, time, agents, called, states } = await bed(async () => {
    if (isAway) throw new Error('the database is away')
    return true
  })
  const moved = agents.get('moved')!
  agents.delete('moved')
  await notifier.resume()
  await time.pass(2000)
  expect([called.includes('moved'), await states()]).toEqual([false, ['agent:gone pending', 'agent:moved pending']])
  agents.set('moved', moved)
  isAway = false
  await time.pass(10_000)
  expect(called).toContain('moved')
})

test('one that is leased again while that is looked up is still told', async () => {
  const asked = Promise.withResolvers<boolean>()
  const { notifier, time, ours, called } = await bed(() => asked.promise)
  await notifier.resume()
  await time.pass(400)
  ours.clear()
  await time.pass(2000)
  for (const id of ['gone', 'moved']) ours.add(id)
  await notifier.adopt({ agent: 'moved' }) // while it is still held here
  asked.resolve(true)
  await time.pass(2000)
  expect(called.filter((id) => id === 'moved').length).toBeGreaterThan(1)
})
