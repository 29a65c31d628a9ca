import { asKeylimeError } from '../../../../src/io/db/postgres-errors.ts'

test('a server whose authority is not known: what TLS says, without its advice to whoever starts Node.js', () => {
  const said = 'self-signed certificate; if the root CA is installed locally, try running Node.js with --use-system-ca'
  const cause = Object.assign(new Error(said), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  expect(asKeylimeError(cause, 'db')).toMatchObject({
    cause: expect.objectContaining({ message: 'self-signed certificate' }),
    message: 'the database db cannot be used now: self-signed certificate',
    hint: expect.stringContaining('sslrootcert='),
  })
})

test('a question that the library gives up on was not answered in time', () => {
  expect(asKeylimeError(new Error('Query read timeout'), 'db')).toMatchObject({
    message: 'the database db cannot be used now: it did not answer in time',
    hint: expect.stringContaining('check that the server runs'),
  })
})
