/** `tcp://HOST:PORT`; an IPv6 address in brackets. */
export const tcpEndpoint = (host: string, port: number): string => `tcp://${host.includes(':') ? `[${host}]` : host}:${port}`
