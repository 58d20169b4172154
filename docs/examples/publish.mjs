#!/usr/bin/env node
// publish.mjs - how an app publishes payment commands straight to the queue, in Node 18 or later with amqplib
//
//     npm install amqplib
//     node publish.mjs < commands.jsonl
//
// Reads one command per line, {"type": "payment.create", "messageId": "order-17", "body": {...}}, and prints one line per command once
// the broker has confirmed it. ACQUIT_AMQP_URL names the broker, with the app's own user: that user is the publisher.
// Ends with 1 at the first command that was not confirmed; what was printed before is with the broker.
//
// It shares no code with Acquit; everything it relies on stands in docs/integration.md.

import {createInterface} from 'node:readline';
import amqp from 'amqplib';

const EXCHANGE = 'acquit.in';
const CONFIRM_TIMEOUT_MS = 5000;

const url = process.env.ACQUIT_AMQP_URL;
if (!url) {
  console.error('publish: set ACQUIT_AMQP_URL');
  process.exit(2);
}
const user = decodeURIComponent(new URL(url).username);

/** Publishes one command and waits for the broker's confirm. Rejects when it was returned or refused, or when nobody knows. */
function publish(channel, returned, {type, messageId, body}) {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const options = {
    contentType: 'application/json',
    persistent: true, // survives a restart of the broker
    messageId, // the idempotency key: the same for every repeat
    userId: user, // checked by the broker
    timestamp: Math.floor(Date.now() / 1000),
    mandatory: true, // comes back if there is no queue for it
  };
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('not confirmed in time: publish it again, under the same id')), CONFIRM_TIMEOUT_MS);
    channel.publish(EXCHANGE, type, bytes, options, (refused) => {
      clearTimeout(timer);
      if (refused) reject(refused);
      else if (returned.delete(messageId)) reject(new Error('there is no queue for it'));
      else resolve();
    });
  });
}

async function main() {
  const connection = await amqp.connect(url);
  connection.on('error', () => {}); // told by the publish that it ends
  const channel = await connection.createConfirmChannel(); // without confirms a lost message is lost silently
  const returned = new Set();
  let closed = null; // why the broker closed the channel: a forged user_id, a type we may not publish, a body beyond its limit
  channel.on('return', (message) => returned.add(message.properties.messageId)); // comes before its confirm
  channel.on('error', (error) => { closed = error; });
  for await (const line of createInterface({input: process.stdin})) {
    const command = JSON.parse(line);
    try {
      await publish(channel, returned, command);
    } catch (error) {
      throw new Error(`${command.messageId}: ${(closed ?? error).message}`);
    }
    console.log(JSON.stringify({messageId: command.messageId, published: command.type}));
  }
  await connection.close();
}

main().catch((error) => {
  console.error(`publish: ${error.message}`);
  process.exit(1);
});
