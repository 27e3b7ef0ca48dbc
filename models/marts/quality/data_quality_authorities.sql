-- One row per programme (or * for every landed year) and authority: whether to doubt it, and for what.

with
authorities as (

    select * from {{ ref('int_data_quality_authorities') }}

),

final as (

    select * from authorities

)

select * from final
