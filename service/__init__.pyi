from service.loading import load as load
