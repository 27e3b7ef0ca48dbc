-- The embedding periods of an authority in one programme do not overlap (definitions, section 1).

with
sites as (

    select * from {{ ref('sites') }}
    where embedding_start is not null

),

periods_in_order as (

    select
        programme,
        la_code,
        embedding_start,
        embedding_end,
        lag(embedding_end) over (
            partition by programme, la_code order by embedding_start, embedding_end
        ) as previous_embedding_end
    from sites

)

select
    'embedding periods of an authority do not overlap' as broken_rule,
    programme,
    la_code,
    previous_embedding_end,
    embedding_start
from periods_in_order
where previous_embedding_end >= embedding_start
