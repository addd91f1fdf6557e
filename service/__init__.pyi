from service.scoring.loading import load as load
