/** `10.0.0.7:9002`, `[fe80::1]:9002`: as URLs have it (RFC 3986, section 3.2.2), for people and for programs. */
export const hostPort = (host: string, port: number | string): string =>
  `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`

/** The same for a URL, which has no place for the scope of an address: who connects takes that from the address itself. */
export const urlHostPort = (host: string, port: number | string): string => hostPort(host.replace(/%.*$/, ''), port)
