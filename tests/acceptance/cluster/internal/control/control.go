// Package control is the conversation between a running node and commands
// that change it: one line of words, answered by one line.
package control

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	mostBytes = 4096
	patience  = 60 * time.Second
	done      = "done"
)

// Socket of the node whose state is in folder.
func Socket(folder string) string { return filepath.Join(folder, "control.sock") }

// Serve answers commands, one at a time, with what handle says of their words.
func Serve(folder string, handle func(words []string) error) error {
	_ = os.Remove(Socket(folder))
	listener, err := net.Listen("unix", Socket(folder))
	if err != nil {
		return fmt.Errorf("the socket for commands: %w (its path may have 107 bytes at most; choose a shorter --state)", err)
	}
	if err := os.Chmod(Socket(folder), 0o600); err != nil {
		return fmt.Errorf("the socket for commands: %w", err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			answer(connection, handle)
		}
	}()
	return nil
}

func answer(connection net.Conn, handle func(words []string) error) {
	defer connection.Close()
	_ = connection.SetReadDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(io.LimitReader(connection, mostBytes)).ReadString('\n')
	if err != nil {
		return
	}
	text := done
	if err := handle(strings.Fields(line)); err != nil {
		text = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	_ = connection.SetWriteDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintln(connection, text)
}

// Ask the node whose state is in folder to do something, and wait until it is done.
func Ask(folder string, words ...string) error {
	connection, err := net.DialTimeout("unix", Socket(folder), 5*time.Second)
	if err != nil {
		return fmt.Errorf("no node answers in %s: %w (is it started?)", folder, err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(connection, strings.Join(words, " ")); err != nil {
		return fmt.Errorf("the node in %s: %w", folder, err)
	}
	reply, err := bufio.NewReader(io.LimitReader(connection, mostBytes)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the node in %s gave no answer to %q: %w", folder, words, err)
	}
	if reply = strings.TrimSpace(reply); reply != done {
		return fmt.Errorf("the node in %s: %s", folder, reply)
	}
	return nil
}
