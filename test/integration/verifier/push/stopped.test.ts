import { PushBed } from '../../../push-bed.ts'

const bed = new PushBed()
beforeAll(() => bed.start())
afterAll(() => bed.stop())

test.each(['before', 'after'])('evidence that comes right %s the operator stops the machine does not begin it again', async (when) => {
  for (const round of [1, 2, 3]) {
    const agent = await bed.pushMachine(`stopped-${when}-${round}`)
    await agent.authenticate()
    const opened = await agent.negotiate()
    const stop = () => bed.admin.request('PUT', `/v2.6/agents/${agent.id}/stop`)
    const bring = () => agent.request('PATCH', String(opened.headers['location']), agent.evidence(opened), agent.token)
    await Promise.all(when === 'before' ? [bring(), stop()] : [stop(), bring()])
    await another(`after-${agent.id}`)
    expect((await bed.status(agent.id)).operational_state).toBe(10)
    expect((await agent.negotiate()).body.errors[0].code).toBe('agent_attestations_disabled')
  }
})

/** Judged after what came before it. */
async function another(id: string): Promise<void> {
  const agent = await bed.pushMachine(id)
  await agent.attest()
  await bed.judged(agent)
}
