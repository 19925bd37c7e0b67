module dpflash/examples/plan_epsilon

go 1.19
