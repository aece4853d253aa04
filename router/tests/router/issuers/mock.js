// oauth2-mock-server. Says its issuer as a line of JSON, and obeys lines on standard input: "rotate" adds a key, "stop" ends
// the server, but not the process. Ends with its input.
import { createInterface } from 'node:readline';
import { OAuth2Server } from 'oauth2-mock-server';

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');
// What a test wants in its token, it says in the request's form.
server.service.on('beforeTokenSigning', (token, request) => {
  for (const name of ['aud', 'sub', 'roles']) {
    if (request.body[name]) token.payload[name] = request.body[name];
  }
});
console.log(JSON.stringify({ issuer: server.issuer.url }));

for await (const order of createInterface({ input: process.stdin })) {
  if (order === 'rotate') await server.issuer.keys.generate('ES256');
  if (order === 'stop') await server.stop();
  console.log(JSON.stringify({ done: order }));
}
process.exit(0);
