import type { ApiClient } from '../../../../src/io/http/api-client.ts'
import { labMaker } from '../../../../src/tools/lab/machine-certificates.ts'
import { readyToRegister, registerMachine } from '../../../../src/tools/lab/register-machine.ts'
import { softwareAk } from '../../../software-ak.ts'

/** Says one thing after the other. */
function registrarThatSays(...statuses: number[]) {
  const asked: string[] = []
  const request = async (method: string) => {
    asked.push(method)
    return { status: statuses.shift()!, message: 'said', results: {} }
  }
  return { client: { request } as unknown as ApiClient, asked }
}

test('a machine that the registrar tells to wait asks again, and one that is refused does not', async () => {
  const { client, asked } = registrarThatSays(429, 403)
  const machine = { id: 'lab-1', ak: softwareAk('ecc').public, ip: '127.0.0.1', port: 1, certificate: 'disabled' }
  await expect(registerMachine(readyToRegister(machine, await labMaker(Date.now())), client)).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('403'),
  })
  expect(asked).toEqual(['POST', 'POST'])
})
