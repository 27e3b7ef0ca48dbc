-- One row per authority, child and return year with a record of a young person who has left care (oc3) (definitions,
-- section 3).

with
care_leaver_records as (

    select * from {{ ref('int_care_leaver_records') }}

),

final as (

    select * from care_leaver_records

)

select * from final
