import { z } from 'zod'
import { isLoopback, parseListenAddress } from './listen-address.ts'
import { flag, optionalText, path, refuse, text } from './setting.ts'

const restart = true

const LISTEN = 'an address and a port, such as "127.0.0.1:3128" or "[::1]:3128"'

export const proxySection = z
  .strictObject({
    listen: text({
      meaning:
        'Where clients reach the proxy. Port 0 takes any free port. Beyond loopback see allow_non_loopback.',
      form: LISTEN,
      initial: '127.0.0.1:3128',
      restart,
      read: (value, context) =>
        parseListenAddress(value) ?? refuse(context, value, 'it is not an address and a port'),
    }),
    name: text({
      meaning: 'What the proxy calls itself in the fields Via and Proxy-Status of what it sends.',
      form: "a token of 1 to 64 characters: a letter, then letters, digits, or any of !#$%&'*+.^_`|~-",
      initial: 'sallyport',
      restart,
      // A token both of RFC 9110 §5.6.2 (Via) and, since it begins with a letter, of RFC 9651 §3.3.4 (Proxy-Status).
      read: (value, context) =>
        /^[A-Za-z][!#$%&'*+.^_`|~0-9A-Za-z-]{0,63}$/.test(value)
          ? value
          : refuse(context, value, 'it is not a token'),
    }),
    allow_non_loopback: flag({
      meaning:
        'Whether proxy.listen may be an address that other machines reach. Clients are not authenticated: whoever reaches the port may use the proxy, so let the network decide who does.',
      initial: false,
      restart,
    }),
  })
  .prefault({})

export const adminSection = z
  .strictObject({
    socket: path({
      meaning:
        'The Unix socket of the admin API and of the command line, made with mode 0600. At most 107 bytes as an absolute path (103 on macOS).',
      initial: 'admin.sock',
      relativeTo: 'state',
      restart,
    }),
    listen: optionalText({
      meaning: 'Where the admin API also listens by TCP, on loopback only, with the token of token_file.',
      form: 'a loopback address and a port, such as "127.0.0.1:3129"',
      restart,
      read: (value, context) => {
        const address = parseListenAddress(value)
        if (!address) return refuse(context, value, 'it is not an address and a port')
        return isLoopback(address.address) ? address : refuse(context, value, 'it is not a loopback address')
      },
    }),
    token_file: path({
      meaning:
        'The file with the bearer token of admin.listen, mode 0600. Made with a random token when it is missing.',
      initial: 'admin.token',
      relativeTo: 'state',
      restart,
    }),
  })
  .prefault({})
