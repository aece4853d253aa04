package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/assemble"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/control"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/launch"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/node"
)

var errUsage = errors.New("node-up: that is no command of this program")

const (
	endPatience = 60 * time.Second
	// How often `run` looks whether whoever waits for its program is still there.
	// When not, the program and the node end.
	parentInterval = 500 * time.Millisecond
)

func command(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	switch name, rest := args[0], args[1:]; name {
	case "build":
		return build(rest)
	case "check":
		return launch.Check()
	case "start":
		return start(rest)
	case "run":
		return run(rest)
	case "stop":
		return stop(rest)
	case "apiserver":
		if len(rest) > 0 {
			return apiserver(rest[0], rest[1:])
		}
	}
	return errUsage
}

func build(args []string) error {
	flags := newFlags("build")
	sources := flags.String("sources", "", "")
	cache := flags.String("cache", "", "")
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	if *sources == "" {
		return fmt.Errorf("%w: build needs --sources", errUsage)
	}
	folder, err := assemble.Build(*sources, *cache)
	if err == nil {
		fmt.Println(folder)
	}
	return err
}

// The flags of the commands that start a node.
func options(name string, args []string, more func(*flag.FlagSet)) (launch.Options, *flag.FlagSet, error) {
	flags := newFlags(name)
	state := flags.String("state", "", "")
	binaries := flags.String("binaries", "", "")
	ports := flags.String("node-ports", "30080-30119", "")
	more(flags)
	if err := parse(flags, args, -1); err != nil {
		return launch.Options{}, nil, err
	}
	if *state == "" || *binaries == "" {
		return launch.Options{}, nil, fmt.Errorf("%w: %s needs --state and --binaries", errUsage, name)
	}
	nodePorts, err := node.ParsePortRange(*ports)
	if err != nil {
		return launch.Options{}, nil, err
	}
	folder, err := launch.Absolute(*state)
	if err != nil {
		return launch.Options{}, nil, err
	}
	programs, err := filepath.Abs(*binaries)
	return launch.Options{State: folder, Binaries: programs, NodePorts: nodePorts}, flags, err
}

func start(args []string) error {
	var background *bool
	chosen, flags, err := options("start", args, func(flags *flag.FlagSet) { background = flags.Bool("background", false, "") })
	if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: start takes no %q", errUsage, flags.Arg(0))
	}
	if *background {
		return startInBackground(chosen)
	}
	ctx, cancel := untilToldToEnd()
	defer cancel()
	return launch.Run(ctx, chosen, func(ctx context.Context, env []string) error {
		describe(env, chosen.State)
		<-ctx.Done()
		return nil
	})
}

func describe(env []string, state string) {
	for _, line := range env {
		fmt.Println(line)
	}
	fmt.Printf("# %s/enter PROGRAM runs a program in the node's network; without one, a shell.\n", state)
}

// The node's launcher is a process of its own that outlives this one.
func startInBackground(chosen launch.Options) error {
	if launch.Runs(chosen.State) {
		env, err := launch.ReadEnv(chosen.State)
		if err != nil {
			return fmt.Errorf("a node is being started in %s: %w", chosen.State, err)
		}
		describe(env, chosen.State)
		return nil
	}
	// What a killed launcher left would be taken for the new one's.
	if err := os.RemoveAll(launch.EnvFile(chosen.State)); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	path := filepath.Join(chosen.State, "launcher.log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	launcher := exec.Command(program, "start", "--state", chosen.State, "--binaries", chosen.Binaries, "--node-ports", chosen.NodePorts.String())
	launcher.Stdout, launcher.Stderr = log, log
	launcher.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := launcher.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- launcher.Wait() }()
	for {
		select {
		case <-ended:
			text, _ := os.ReadFile(path)
			return fmt.Errorf("the node did not start:\n%s", text)
		case <-time.After(50 * time.Millisecond):
			env, err := launch.ReadEnv(chosen.State)
			if err == nil {
				describe(env, chosen.State)
				return nil
			}
		}
	}
}

func run(args []string) error {
	chosen, flags, err := options("run", args, func(*flag.FlagSet) {})
	if err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("%w: run needs a program", errUsage)
	}
	ctx, cancel := untilToldToEnd()
	defer cancel()
	go func() {
		for parent := os.Getppid(); os.Getppid() == parent; time.Sleep(parentInterval) {
		}
		cancel()
	}()
	return launch.Run(ctx, chosen, func(ctx context.Context, env []string) error {
		program := exec.CommandContext(ctx, flags.Arg(0), flags.Args()[1:]...)
		program.Cancel = func() error { return program.Process.Signal(syscall.SIGTERM) }
		program.WaitDelay = 10 * time.Second
		program.Stdin, program.Stdout, program.Stderr = os.Stdin, os.Stdout, os.Stderr
		program.Env = append(os.Environ(), env...)
		if err := program.Run(); err != nil {
			return fmt.Errorf("%s: %w", flags.Arg(0), err)
		}
		return nil
	})
}

func stop(args []string) error {
	folder, err := stateOf("stop", args)
	if err != nil {
		return err
	}
	return launch.Stop(folder, endPatience)
}

func apiserver(what string, args []string) error {
	folder, err := stateOf("apiserver", args)
	if err != nil {
		return err
	}
	return control.Ask(folder, "apiserver", what)
}

func stateOf(name string, args []string) (string, error) {
	flags := newFlags(name)
	state := flags.String("state", "", "")
	if err := parse(flags, args, 0); err != nil {
		return "", err
	}
	if *state == "" {
		return "", fmt.Errorf("%w: %s needs --state", errUsage, name)
	}
	return *state, nil
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// Parses flags and checks how many words follow them; any number, if most is -1.
func parse(flags *flag.FlagSet, args []string, most int) error {
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %s: %w", errUsage, flags.Name(), err)
	}
	if most >= 0 && flags.NArg() > most {
		return fmt.Errorf("%w: %s takes no %q", errUsage, flags.Name(), flags.Arg(most))
	}
	return nil
}
