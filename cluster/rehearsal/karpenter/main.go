// karpenter runs Karpenter's own controllers with the AWS provider's own controllers over its in-memory EC2: what has to
// be described (instance types, prices, subnets, images, roles) is asked of AWS_ENDPOINT_URL, what has to run is noted in
// memory, and an instance appears in the cluster as a Node after a while.
//
// It is the provider's kwok main with two differences:
//
//   - NODE_LAUNCH_DELAY, a Go duration, says how long an instance boots; there it is 30 s.
//   - A Node is born without aws.amazon.com/* resources, as a real one is: the device plugin brings them.
//
// Everything else is set by the environment variables that Karpenter documents.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/karpenter-provider-aws/kwok/cloudprovider"
	"github.com/aws/karpenter-provider-aws/kwok/operator"
	"github.com/aws/karpenter-provider-aws/pkg/controllers"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/metrics"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/overlay"
	corecontrollers "sigs.k8s.io/karpenter/pkg/controllers"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	coreoperator "sigs.k8s.io/karpenter/pkg/operator"
)

// upstreamBoot is what the in-memory EC2 waits, on the operator's clock, before a launched instance becomes a Node.
const upstreamBoot = 30 * time.Second

func main() {
	launch, err := time.ParseDuration(os.Getenv("NODE_LAUNCH_DELAY"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "NODE_LAUNCH_DELAY has to be a duration such as 3.5s:", err)
		os.Exit(2)
	}
	ctx, core := coreoperator.NewOperator()

	// Only the AWS side gets the other clock and client: the core's waits and writes stay its own.
	world := *core
	world.Clock = bootClock{core.Clock, launch}
	world.Manager = birthManager{core.Manager}
	ctx, op := operator.NewOperator(ctx, &world)
	op.Operator = core

	var instances sync.WaitGroup
	for _, serve := range []func(context.Context){
		op.EC2API.ReadBackup, // until it has run, every call to the in-memory EC2 waits
		op.EC2API.StartBackupThread,
		op.EC2API.StartKillNodeThread,
	} {
		instances.Go(func() {
			<-op.Elected()
			serve(ctx)
		})
	}
	start(ctx, op)
	instances.Wait()
}

func start(ctx context.Context, op *operator.Operator) {
	aws := metrics.Decorate(cloudprovider.New(
		op.InstanceTypesProvider, op.InstanceProvider, op.EventRecorder, op.GetClient(), op.AMIProvider,
		op.SecurityGroupProvider, op.CapacityReservationProvider, op.PlacementGroupProvider, op.InstanceTypeStore,
	))
	overlaid := overlay.Decorate(aws, op.GetClient(), op.InstanceTypeStore)
	cluster := state.NewCluster(op.Clock, op.GetClient(), overlaid)
	noQueue := "" // of interruption notices: nothing here is ever interrupted
	op.
		WithControllers(ctx, corecontrollers.NewControllers(
			ctx, op.Manager, op.Clock, op.GetClient(), op.EventRecorder, overlaid, aws, cluster, op.InstanceTypeStore,
		)...).
		WithControllers(ctx, controllers.NewControllers(
			ctx, op.Manager, op.Config, op.Clock, op.EC2API, op.GetClient(), op.EventRecorder,
			op.UnavailableOfferingsCache, op.SSMCache, op.ValidationCache, op.RecreationCache, overlaid,
			op.SubnetProvider, op.SecurityGroupProvider, op.InstanceProfileProvider, op.InstanceProvider,
			op.PricingProvider, op.AMIProvider, op.LaunchTemplateProvider, op.VersionProvider, op.InstanceTypesProvider,
			op.CapacityReservationProvider, op.PlacementGroupProvider, op.AMIResolver, op.ZonalShiftProvider,
			op.InstanceStatusProvider, &noQueue,
		)...).
		Start(ctx)
}

// bootClock lets an instance boot in a time of our choice.
type bootClock struct {
	clock.Clock
	launch time.Duration
}

func (c bootClock) After(d time.Duration) <-chan time.Time {
	if d == upstreamBoot {
		d = c.launch
	}
	return c.Clock.After(d)
}

// birthManager hands out clients that create Nodes as a kubelet registers them.
type birthManager struct{ manager.Manager }

func (m birthManager) GetClient() client.Client { return birthClient{m.Manager.GetClient()} }

type birthClient struct{ client.Client }

func (c birthClient) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	if node, ok := object.(*corev1.Node); ok {
		withoutDevices(node.Status.Capacity)
		withoutDevices(node.Status.Allocatable)
	}
	return c.Client.Create(ctx, object, options...)
}

func withoutDevices(resources corev1.ResourceList) {
	for name := range resources {
		if strings.HasPrefix(string(name), "aws.amazon.com/") {
			delete(resources, name)
		}
	}
}
