// Controlplane holds the programs of a small Kubernetes control plane in one binary, so that they share one compile
// and one download of their dependencies. The first argument picks the program:
//
//	controlplane kube-apiserver --etcd-servers=...
//
// A symbolic link named after a program works too, which is how kubectl is put on a PATH.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

const usageExitCode = 64

// A program reads os.Args itself, and its command is made only when it is wanted: each one registers global flags.
type program func()

func programs() map[string]program {
	return map[string]program{
		"etcd":                    func() { etcdmain.Main(os.Args) },
		"kube-apiserver":          func() { serve(apiserver.NewAPIServerCommand) },
		"kube-controller-manager": func() { serve(controllermanager.NewControllerManagerCommand) },
		"kube-scheduler":          func() { serve(func() *cobra.Command { return scheduler.NewSchedulerCommand() }) },
		"kubectl":                 runKubectl,
	}
}

func serve(newCommand func() *cobra.Command) {
	os.Exit(cli.Run(newCommand()))
}

func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

func main() {
	known := programs()
	if run, ok := known[filepath.Base(os.Args[0])]; ok {
		run()
		return
	}
	if len(os.Args) > 1 {
		if run, ok := known[os.Args[1]]; ok {
			os.Args = os.Args[1:]
			run()
			return
		}
	}
	fmt.Fprintf(os.Stderr, "usage: controlplane {%s} [flags]\n", strings.Join(names(known), "|"))
	os.Exit(usageExitCode)
}

func names(known map[string]program) []string {
	all := make([]string, 0, len(known))
	for name := range known {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
