// Runs the broker aedes, a Node.js package, on one port: node aedes.cjs FOLDER HOST PORT
//
// scripts/broker starts this. FOLDER has the node_modules from scripts/install-brokers. Sessions and retained messages are
// kept in memory.
'use strict'

const net = require('node:net')

const [folder, host, port] = process.argv.slice(2)
const { Aedes } = require(require.resolve('aedes', { paths: [folder] }))

async function main () {
  const broker = await Aedes.createBroker()
  const log = (what) => (client, error) =>
    console.log(`${new Date().toISOString()} ${what} client=${client?.id ?? ''} ${error?.message ?? ''}`)
  for (const what of ['clientReady', 'clientDisconnect', 'clientError', 'connectionError', 'keepaliveTimeout']) {
    broker.on(what, log(what))
  }
  net.createServer({ noDelay: true }, broker.handle).listen(Number(port), host)
}

main()
