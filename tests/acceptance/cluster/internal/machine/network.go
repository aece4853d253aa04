package machine

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
)

// The addresses of a node. The same for every node, as each has a network
// namespace of its own.
const (
	// Bridge of the pods and the node.
	Bridge = "node0"
	// Address of the node on it.
	Address = "10.199.0.1"
	// Pods get their addresses from here.
	Pods = "10.199.0.0/24"
	// Services get theirs from here.
	Services = "10.96.0.0/16"
	// APIServer is the address of the service `kubernetes`.
	APIServer = "10.96.0.1"
)

// Network makes the bridge and the routes inside this network namespace.
// Ports that servers will listen on are kept from outgoing connections.
func Network(reserved string) error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("the loopback device: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("the loopback device: %w", err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: Bridge}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("the bridge %s: %w (is the kernel's module bridge there?)", Bridge, err)
	}
	_, pods, err := net.ParseCIDR(Pods)
	if err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(Address), Mask: pods.Mask}}
	if err := netlink.AddrAdd(bridge, address); err != nil {
		return fmt.Errorf("the address of %s: %w", Bridge, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("the bridge %s: %w", Bridge, err)
	}
	// There is no default route, and so nothing else would send what is for a
	// service's address to where kube-proxy's rules change it.
	_, services, err := net.ParseCIDR(Services)
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: bridge.Index, Dst: services}); err != nil {
		return fmt.Errorf("the route of services: %w", err)
	}
	for name, value := range map[string]string{
		"net/ipv4/ip_forward":              "1",
		"net/ipv4/ip_local_reserved_ports": reserved,
		// Else an answer from pod to pod would skip the rules that made a
		// service's address into a pod's.
		"net/bridge/bridge-nf-call-iptables": "1",
	} {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("the setting %s: %w (for net/bridge load the kernel's module br_netfilter)", name, err)
		}
	}
	return nil
}
