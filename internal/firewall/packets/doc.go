// Package packets gives tests a small internet in network namespaces of their own, to prove with real
// packets whom a firewall lets through.
//
// Inside runs a test once more in a namespace where it may do as it likes. New builds three machines
// there: peers (everybody outside, whatever address they claim to have), the host with the firewall,
// and inner, a container behind the host. Network.Arrived sends packets from any place with any source
// and tells where each arrived; Network.Flood goes on sending while a test changes things.
//
// Only tests may import it.
package packets
