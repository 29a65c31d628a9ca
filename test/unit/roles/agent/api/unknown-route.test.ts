import { unknownRoute } from '../../../../../src/roles/agent/api/unknown-route.ts'

const VERSIONS = ['2.5', '2.6']

test.each([
  ['GET', '/v2.9/quotes/integrity', 400, 'API version not supported: v2.9', undefined],
  ['PUT', '/v3.0/', 400, 'API version not supported: v3.0', undefined],
  ['GET', '/v2.6/agent', 400, 'URI not supported, only /info is supported for GET in /agent interface', undefined],
  ['POST', '/v2.6/agent/info', 405, 'Method is not supported in /agent interface', 'GET'],
  ['POST', '/v2.6/keys/x', 400, 'URI not supported, only /ukey and /vkey are supported for POST in /keys interface', undefined],
  ['PUT', '/v2.6/keys/ukey', 405, 'Method is not supported in /keys interface', 'GET, POST'],
  ['GET', '/v2.6/notifications/revocation', 405, 'Method is not supported in /notifications/ interface', 'POST'],
  ['GET', '/v2.6/quotes/x', 400, 'URI not supported, only /identity and /integrity are supported for GET in /quotes/ interface', undefined],
  ['POST', '/v2.6/other', 400, 'Not Implemented: Use /keys or /notifications interfaces', undefined],
  ['DELETE', '/v2.6/other', 405, 'Method is not supported', 'GET, POST'],
  ['GET', '/', 400, 'Not Implemented: Use /2.5, /2.6 or /version interfaces', undefined],
  ['DELETE', '/x', 405, 'Method is not supported', 'GET, POST'],
])('%s %s is %i %s', (method, path, status, message, allow) => {
  expect(unknownRoute(method, path, VERSIONS)).toEqual({ status, message, ...(allow ? { headers: { Allow: allow } } : {}) })
})
