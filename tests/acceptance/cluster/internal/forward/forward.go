// Package forward carries TCP connections from one network namespace into
// another. A socket stays in the namespace that it was made in: the listener
// is inherited from the one, and connections are dialled in the other, where
// this process runs.
package forward

import (
	"io"
	"net"
	"sync"
	"time"
)

// At once, over all listeners of a process. More wait to be accepted.
const mostConnections = 4096

const dialTimeout = 5 * time.Second

var slots = make(chan struct{}, mostConnections)

// Serve accepts connections until the listener is closed, and carries each to
// target, an address and port. A target that refuses is seen as a connection
// that is reset.
func Serve(listener net.Listener, target string) {
	for {
		slots <- struct{}{}
		connection, err := listener.Accept()
		if err != nil {
			<-slots
			if transient, is := err.(net.Error); is && transient.Timeout() {
				continue
			}
			return
		}
		go func() {
			defer func() { <-slots }()
			carry(connection.(*net.TCPConn), target)
		}()
	}
}

func carry(client *net.TCPConn, target string) {
	defer client.Close()
	dialled, err := net.DialTimeout("tcp", target, dialTimeout)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	server := dialled.(*net.TCPConn)
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { pass(client, server) })
	both.Go(func() { pass(server, client) })
	both.Wait()
}

// An end of one side's data is passed on, and so is an abort of its connection.
func pass(from, to *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.SetLinger(0)
		_ = from.SetLinger(0)
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite()
}
