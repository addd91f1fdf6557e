from trainers.run import train as train
